// Copy buttons on every block marked .code. Where the clipboard is out of reach (a page that is not on localhost or https) the
// text is selected instead, ready for the keyboard.
(function () {
    "use strict";

    function text_of(pre) {
        var copy = pre.cloneNode(true);
        copy.querySelectorAll(".p").forEach(function (prompt) { prompt.remove(); });
        return copy.textContent.trim() + "\n";
    }

    function select(pre) {
        var range = document.createRange();
        range.selectNodeContents(pre);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
    }

    document.querySelectorAll(".code").forEach(function (block) {
        var pre = block.querySelector("pre"), button = document.createElement("button");
        button.type = "button";
        button.className = "copy";
        button.textContent = "Copy";
        button.setAttribute("aria-live", "polite");
        button.addEventListener("click", function () {
            function done(word) {
                button.textContent = word;
                setTimeout(function () { button.textContent = "Copy"; }, 1600);
            }
            if (navigator.clipboard)
                navigator.clipboard.writeText(text_of(pre)).then(function () { done("Copied"); },
                    function () { select(pre); done("Selected"); });
            else {
                select(pre);
                done("Selected");
            }
        });
        block.appendChild(button);
    });

    document.documentElement.dataset.script = "ready";
}());
