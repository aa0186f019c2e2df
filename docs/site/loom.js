// The loom: a picture of waiters that park and wake on one lock word. A strand lies over the warp while its waiter runs, is
// thick while it holds the lock, and passes under the warp while it is parked. It is a model with its own clock, drawn to
// be watched; it measures nothing. Without a script, or until this one has run, the page shows a still picture instead.
(function () {
    "use strict";

    var figure = document.querySelector(".loom");
    if (!figure)
        return;

    var COLUMN = 12, ROW = 40, TOP = 12, TICK_MS = 240;
    var waiters = [
        { name: "thread 1", kind: "thread" },
        { name: "co 1", kind: "co" },
        { name: "co 2", kind: "co" },
        { name: "process 1", kind: "process" },
        { name: "co 3", kind: "co" },
        { name: "thread 2", kind: "thread" }
    ];
    var queue = [], owner = null, owner_died = 0, now = 0;

    // A small generator with a fixed seed: the first cloth is the same for everyone.
    var seed = 20;
    function pick(low, high) {
        seed = (seed * 1103515245 + 12345) % 2147483648;
        return low + Math.floor(seed / 2147483648 * (high - low + 1));
    }

    waiters.forEach(function (w) {
        w.state = "runs";
        w.left = pick(2, 16);
        w.past = [];
        w.mark = "";
    });

    // --- the model ---

    var said = "";
    function say(w, text) {
        said = w.name + "  " + text;
    }

    function take(w, parked) {
        owner = w;
        w.state = "holds";
        w.left = pick(3, 6);
        w.mark = parked ? "woken" : "";
        if (owner_died) {
            owner_died = 0;
            say(w, "weft_lock_acquire_until() = -EOWNERDEAD, then weft_lock_recover()");
        } else if (parked) {
            say(w, "woken: weft_lock_acquire_until() = 0");
        } else {
            say(w, "weft_lock_acquire_until() = 0");
        }
    }

    function wake_next() {
        var next = queue.shift();
        if (next)
            take(next, true);
    }

    function leave_queue(w, mark, text) {
        queue.splice(queue.indexOf(w), 1);
        w.state = "runs";
        w.left = pick(8, 16);
        w.mark = mark;
        say(w, text);
    }

    function step_waiter(w) {
        w.left -= 1;
        if (w.state === "holds" && w.left <= 0) {
            w.state = "runs";
            w.left = pick(9, 22);
            owner = null;
            wake_next();
        } else if (w.state === "runs" && w.left <= 0) {
            if (owner === null && !owner_died) {
                take(w, false);
            } else {
                w.state = "parked";
                w.left = pick(16, 30);
                queue.push(w);
                say(w, "parked");
            }
        } else if (w.state === "parked" && w.left <= 0) {
            leave_queue(w, "left", "weft_lock_acquire_until() = -ETIMEDOUT");
        } else if (w.state === "killed" && w.left <= 0) {
            w.state = "runs";
            w.left = pick(6, 14);
            say(w, "started again");
        }
    }

    function tick() {
        now += 1;
        waiters.forEach(step_waiter);
        if (owner_died && --owner_died === 0) {
            owner_died = 1;
            wake_next();
            if (owner === null)
                owner_died = 2;
        }
        waiters.forEach(function (w) {
            w.past.push({ state: w.state, mark: w.mark });
            w.mark = "";
            if (w.past.length > 400)
                w.past.shift();
        });
    }

    function cancel(w) {
        if (w.state === "parked")
            leave_queue(w, "left", "weft_lock_acquire_until() = -ECANCELED");
    }

    function kill(w) {
        if (w.state === "killed")
            return;
        if (w.state === "parked")
            queue.splice(queue.indexOf(w), 1);
        if (owner === w) {
            owner = null;
            owner_died = 3;
        }
        w.state = "killed";
        w.left = 12;
        w.mark = "";
        say(w, "kill -9" + (owner_died ? " while it held the lock" : ""));
    }

    // --- the page around it ---

    var bench = figure.querySelector(".bench"), cloth = figure.querySelector(".cloth");
    var canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Six strands, one a waiter, woven through a vertical warp. A strand lies over the warp while " +
        "its waiter runs and under it while the waiter is parked. The list beside it says the same in words.");
    cloth.textContent = "";
    cloth.appendChild(canvas);
    figure.classList.add("live");

    var heads = document.createElement("ul");
    heads.className = "heads";
    waiters.forEach(function (w) {
        var item = document.createElement("li");
        item.className = w.kind;
        item.innerHTML = "<span><b></b><small></small></span><button type=button></button>";
        item.querySelector("b").textContent = w.name;
        w.status = item.querySelector("small");
        w.button = item.querySelector("button");
        w.button.textContent = w.kind === "process" ? "kill -9" : "cancel";
        w.button.setAttribute("aria-label", w.button.textContent + " " + w.name);
        w.button.addEventListener("click", function () {
            (w.kind === "process" ? kill : cancel)(w);
            show_words();
            if (!playing)
                advance();
        });
        heads.appendChild(item);
    });
    bench.appendChild(heads);

    var bar = figure.querySelector(".bar");
    bar.hidden = false;
    var play = bar.querySelector(".play"), step = bar.querySelector(".step");
    var word = bar.querySelector(".word"), last = bar.querySelector(".last");

    function show_words() {
        waiters.forEach(function (w) {
            if (w.status.textContent !== w.state)
                w.status.textContent = w.state;
            w.button.disabled = w.kind === "process" ? w.state === "killed" : w.state !== "parked";
        });
        var value = owner ? waiters.indexOf(owner) + 1 : owner_died ? waiters.length - 2 : 0;
        word.innerHTML = "word <b>" + value + "</b> ";
        word.append(owner ? owner.name + " holds it, " + queue.length + " parked" : owner_died ? "its owner is dead" : "free");
        last.textContent = said;
    }

    // --- drawing ---

    var dye = {}, pen = canvas.getContext("2d"), width = 0, height = TOP * 2 + ROW * waiters.length;

    function read_colours() {
        var style = getComputedStyle(document.documentElement);
        dye = {
            thread: style.getPropertyValue("--indigo"), co: style.getPropertyValue("--weld"),
            process: style.getPropertyValue("--madder"), warp: style.getPropertyValue("--warp"),
            ink: style.getPropertyValue("--ink"), sheet: style.getPropertyValue("--sheet")
        };
    }

    function fit() {
        var scale = window.devicePixelRatio || 1;
        width = canvas.clientWidth;
        canvas.width = Math.round(width * scale);
        canvas.height = Math.round(height * scale);
        canvas.style.height = height + "px";
        pen.setTransform(scale, 0, 0, scale, 0, 0);
    }

    function strand(x, y, thick, colour) {
        pen.fillStyle = colour;
        pen.fillRect(x, y - thick / 2, COLUMN + 0.6, thick);
    }

    function twist(x, y, thick) {               // the ply of the yarn, and a light from above
        pen.globalAlpha = 0.22;
        pen.fillStyle = "#fff";
        pen.fillRect(x, y - thick / 2, COLUMN + 0.6, 3);
        pen.globalAlpha = 0.16;
        pen.strokeStyle = "#000";
        pen.lineWidth = 1;
        pen.beginPath();
        for (var k = 0; k < 2; k++) {
            pen.moveTo(x + k * 6 + 1, y + thick / 2);
            pen.lineTo(x + k * 6 + 5, y - thick / 2);
        }
        pen.stroke();
        pen.globalAlpha = 1;
    }

    function fray(x, y, colour) {
        pen.strokeStyle = colour;
        pen.lineWidth = 1.6;
        pen.beginPath();
        [-7, -2, 3, 8].forEach(function (d) {
            pen.moveTo(x - 2, y + d / 3);
            pen.quadraticCurveTo(x + 6, y + d / 2, x + 11, y + d);
        });
        pen.stroke();
    }

    function mark(x, y, kind) {
        pen.lineWidth = 2;
        pen.strokeStyle = pen.fillStyle = dye.ink;
        pen.beginPath();
        if (kind === "woken") {
            pen.arc(x, y, 4, 0, 7);
            pen.fillStyle = dye.sheet;
            pen.fill();
            pen.stroke();
        } else {
            pen.moveTo(x - 4, y - 4); pen.lineTo(x + 4, y + 4);
            pen.moveTo(x - 4, y + 4); pen.lineTo(x + 4, y - 4);
            pen.stroke();
        }
    }

    function draw(part) {
        var shown = Math.ceil(width / COLUMN) + 2, length = waiters[0].past.length;
        var first = Math.max(0, length - shown), right = width - (part - 1) * COLUMN;
        pen.clearRect(0, 0, width, height);

        function each(visit) {
            for (var i = first; i < length; i++)
                waiters.forEach(function (w, row) {
                    visit(w.past[i], right - (length - i) * COLUMN, TOP + ROW * row + ROW / 2, w, w.past[i - 1]);
                });
        }

        pen.globalAlpha = 0.6;
        each(function (cell, x, y, w) {
            if (cell.state === "parked")
                strand(x, y, 7, dye[w.kind]);
        });
        pen.globalAlpha = 1;
        pen.fillStyle = dye.warp;
        for (var i = first; i < length; i++) {
            var x = right - (length - i) * COLUMN + COLUMN / 2 - 3.5;
            pen.fillRect(x, 0, 7, height);
        }
        each(function (cell, x, y, w) {
            if (cell.state === "runs" || cell.state === "holds") {
                var thick = cell.state === "holds" ? 24 : 11;
                strand(x, y, thick, dye[w.kind]);
                twist(x, y, thick);
            }
        });
        each(function (cell, x, y, w, before) {
            if (cell.mark)
                mark(x + COLUMN / 2, y, cell.mark);
            if (cell.state === "killed" && before && before.state !== "killed")
                fray(x, y, dye[w.kind]);
        });
    }

    // --- the clock ---

    var still = matchMedia("(prefers-reduced-motion: reduce)"), playing = !still.matches, seen = true, from = 0, loop = 0;

    function advance() {
        tick();
        show_words();
        draw(1);
    }

    function frame(t) {
        if (!playing || !seen || document.hidden)
            return;
        if (!from || t - from > 4 * TICK_MS)
            from = t;
        while (t - from >= TICK_MS) {
            from += TICK_MS;
            tick();
            show_words();
        }
        draw((t - from) / TICK_MS);
        loop = requestAnimationFrame(frame);
    }

    function set_playing(on) {
        playing = on;
        play.textContent = on ? "Pause" : "Play";
        step.hidden = on;
        from = 0;
        cancelAnimationFrame(loop);
        if (on)
            loop = requestAnimationFrame(frame);
    }

    play.addEventListener("click", function () { set_playing(!playing); });
    step.addEventListener("click", advance);
    document.addEventListener("visibilitychange", function () { set_playing(playing); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { read_colours(); draw(1); });
    window.addEventListener("resize", function () { fit(); draw(1); });
    if (window.IntersectionObserver)
        new IntersectionObserver(function (entries) {
            var was = seen;
            seen = entries[0].isIntersecting;
            if (seen && !was && playing)
                set_playing(true);
        }).observe(canvas);

    for (var i = 0; i < 160; i++)
        tick();
    read_colours();
    fit();
    show_words();
    draw(1);
    set_playing(playing);
    document.documentElement.dataset.loom = "ready";
}());
