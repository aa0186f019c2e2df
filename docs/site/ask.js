// "Ask it something": sends a real request to the server behind this page and shows the head of the real answer.
(function () {
    "use strict";

    var choices = document.querySelector(".ask .choices"), out = document.querySelector(".ask pre");
    if (!choices || !window.fetch || !/^http/.test(location.protocol))
        return;

    var page = location.pathname;
    var requests = [
        { name: "Just the head", method: "HEAD", path: page },
        { name: "The first 15 bytes", method: "GET", path: page, fields: { Range: "bytes=0-14" }, body: true },
        { name: "Only if it changed", method: "GET", path: page, fields: { "If-None-Match": null } },
        { name: "A range past the end", method: "GET", path: page, fields: { Range: "bytes=99999999-" } },
        { name: "A page that is not there", method: "HEAD", path: "/no-such-thread" },
        { name: "A method it does not serve", method: "DELETE", path: page }
    ];

    function line(text, name) {
        var span = document.createElement("span");
        span.className = name || "";
        span.textContent = text + "\n";
        return span;
    }

    function show(request, fields, answer, body) {
        out.textContent = "";
        out.append(line("> " + request.method + " " + request.path + " HTTP/1.1", "sent"));
        Object.keys(fields).forEach(function (key) { out.append(line("> " + key + ": " + fields[key], "sent")); });
        out.append(line(""), line("< " + answer.status + " " + answer.statusText, "got"));
        answer.headers.forEach(function (value, key) { out.append(line("< " + key + ": " + value)); });
        if (body)
            out.append(line(""), line(body));
    }

    function etag_of(path) {
        return fetch(path, { method: "HEAD", cache: "no-store" }).then(function (answer) {
            return answer.headers.get("etag") || "\"none\"";
        });
    }

    function ask(request) {
        var fields = Object.assign({}, request.fields), ready = Promise.resolve();
        if (fields["If-None-Match"] === null)
            ready = etag_of(request.path).then(function (etag) { fields["If-None-Match"] = etag; });
        return ready.then(function () {
            return fetch(request.path, { method: request.method, headers: fields, cache: "no-store" });
        }).then(function (answer) {
            return answer.text().then(function (body) { show(request, fields, answer, request.body ? body : ""); });
        }).catch(function () {
            out.textContent = "";
            out.append(line("No answer. Is the server still running?", "got"));
        });
    }

    requests.forEach(function (request, index) {
        var button = document.createElement("button");
        button.type = "button";
        button.textContent = request.name;
        button.setAttribute("aria-pressed", "false");
        button.addEventListener("click", function () {
            choices.querySelectorAll("button").forEach(function (b) { b.setAttribute("aria-pressed", String(b === button)); });
            ask(request);
        });
        choices.append(button);
        if (index === 0)
            button.click();
    });
}());
