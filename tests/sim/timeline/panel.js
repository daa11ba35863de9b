'use strict';
// The pointer, the keyboard, the address, and the panel beside the canvas.

const $ = (id) => document.getElementById(id);
const VIEW_MIN_NS = 2000;
let pending = false, held = null, drag = null, current = -1, listed = [];
const types = [['election', 'elections'], ['split vote', 'split votes'], ['crash', 'crashes'], ['start', 'starts'],
    ['pause', 'pauses'], ['cut', 'cuts'], ['fault', 'other faults'], ['handover', 'handovers'], ['members', 'members, checkpoints'],
    ['lock', 'locks'], ['client', 'clients'], ['violation', 'violation']];
const wanted = new Set(types.map(([type]) => type).filter((type) => type !== 'client' && type !== 'lock'));

function redraw() {
    if (pending)
        return;
    pending = true;
    requestAnimationFrame(() => {
        pending = false;
        draw();
        tellLeft();
    });
}

function show(from, to, quiet) {
    const range = Math.min(Math.max(to - from, VIEW_MIN_NS), head.end * 1.02);
    view.from = Math.max(-head.end * 0.01, Math.min(from, head.end * 1.01 - range));
    view.to = view.from + range;
    if (!quiet)
        writeAddress();
    redraw();
}

function zoom(factor, x) {
    const at = timeOf(x === undefined ? (GUTTER + view.width) / 2 : Math.max(x, GUTTER));
    show(at - (at - view.from) * factor, at + (view.to - at) * factor);
}

const pan = (part) => show(view.from + (view.to - view.from) * part, view.to + (view.to - view.from) * part);

/* --- address: #t=0.19-0.25&hide=feed,client&theme=dark -------------------------------------------- */

let addressTimer = 0;
function writeAddress() {
    clearTimeout(addressTimer);
    addressTimer = setTimeout(() => {
        const parts = ['t=' + Math.max(0, view.from / 1e9).toFixed(6) + '-' + (view.to / 1e9).toFixed(6)];
        const hidden = GROUPS.filter((g) => !shown.has(g.name)).map((g) => g.name);
        if (GROUPS.some((g) => g.on !== shown.has(g.name)))
            parts.push('hide=' + hidden.join(','));
        if (document.documentElement.dataset.theme)
            parts.push('theme=' + document.documentElement.dataset.theme);
        history.replaceState(null, '', '#' + parts.join('&'));
    }, 150);
}

function readAddress() {
    const parts = new Map(location.hash.slice(1).split('&').map((part) => part.split('=', 2)));
    const time = /^([0-9.]+)-([0-9.]+)$/.exec(parts.get('t') || '');
    if (parts.has('theme'))
        document.documentElement.dataset.theme = parts.get('theme') === 'dark' ? 'dark' : 'light';
    if (parts.has('hide')) {
        const hidden = (parts.get('hide') || '').split(',');
        GROUPS.forEach((g) => hidden.includes(g.name) ? shown.delete(g.name) : shown.add(g.name));
    }
    takeColours();
    if (time !== null && Number(time[2]) > Number(time[1]))
        show(Number(time[1]) * 1e9, Number(time[2]) * 1e9, true);
    else
        show(head.from, head.to, true);
    const inside = events.filter((e) => e.term && e.at >= view.from && e.at <= view.to);
    const first = inside.find((e) => e.type === 'split vote') || (inside.length === 1 ? inside[0] : undefined);
    if (time !== null && first !== undefined)
        tellTerm(first.term);
    else
        focus = null;
}

/* --- the pointer ---------------------------------------------------------------------------------- */

function distance(target, x, y) {
    if (target.box) {
        const [x0, y0, x1, y1] = target.box;
        return x >= x0 && x <= x1 && y >= y0 && y <= y1 ? (target.weak ? 5 : 2) : Infinity;
    }
    const [x0, y0, x1, y1] = target.line, square = (x1 - x0) ** 2 + (y1 - y0) ** 2;
    const part = square === 0 ? 0 : Math.max(0, Math.min(1, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / square));
    return Math.hypot(x - x0 - part * (x1 - x0), y - y0 - part * (y1 - y0));
}

function under(x, y) {
    let best = null, near = 6;
    for (const target of targets) {
        const d = distance(target, x, y);
        if (d <= near) {
            near = d;
            best = target;
        }
    }
    return best;
}

function row(name, value) {
    const tr = document.createElement('tr');
    for (const cell of [name, value])
        tr.appendChild(document.createElement('td')).textContent = cell;
    return tr;
}

function details(target) {
    const out = document.createElement('div'), title = document.createElement('b');
    const i = target.record;
    out.appendChild(title);
    if (i === undefined) {
        title.textContent = target.words;
        return out;
    }
    const table = document.createElement('table');
    if (isFrame(i)) {
        title.textContent = kindOf(i).n + ': ' + endpointName(store.from[i]) + ' \u2192 ' + endpointName(store.to[i]);
        const gone = store.fate[i] === FATE.LOST || store.fate[i] === FATE.CUT_OFF;
        table.appendChild(row('sent', seconds(store.at[i]) + ' s'));
        table.appendChild(row(gone ? 'never arrived' : 'arrives', gone ? word('fate', store.fate[i]) : seconds(store.until[i]) +
            ' s, after ' + duration(store.until[i] - store.at[i])));
        if (!gone && store.fate[i] !== FATE.ARRIVED)
            table.appendChild(row('but', word('fate', store.fate[i])));
        table.appendChild(row('frame', store.size[i] + ' bytes'));
    } else {
        title.textContent = target.words || endpointName(store.from[i]) + ': ' + kindOf(i).n;
        table.appendChild(row('at', seconds(store.at[i]) + ' s'));
        if (store.until[i] > store.at[i])
            table.appendChild(row('until', seconds(store.until[i]) + ' s, ' + duration(store.until[i] - store.at[i])));
        if (store.size[i] > 0)
            table.appendChild(row('bytes', String(store.size[i])));
        if (store.kind[i] >= KIND.WRITE && store.kind[i] <= KIND.FLUSH && store.fate[i] === FATE.LOST)
            table.appendChild(row('result', 'the drive fails it'));
    }
    for (const [name, value] of fields(i))
        table.appendChild(row(name, value));
    out.appendChild(table);
    return out;
}

function hover(x, y, pageX, pageY) {
    const target = y < overviewHeight() ? null : under(x, y), tip = $('tip');
    const record = target !== null && target.record !== undefined ? target.record : -1;
    if (held === null && record !== chosen) {
        chosen = record;
        redraw();
    }
    tip.hidden = target === null;
    canvas.style.cursor = target !== null ? 'pointer' : 'grab';
    if (target === null)
        return;
    tip.replaceChildren(details(target));
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(pageX + 14, innerWidth - box.width - 8)) + 'px';
    tip.style.top = Math.max(4, Math.min(pageY + 14, innerHeight - box.height - 8)) + 'px';
}

function overviewTo(x) {
    const at = (x - GUTTER) / (view.width - GUTTER) * head.end, half = (view.to - view.from) / 2;
    show(at - half, at + half);
}

function listen() {
    canvas.addEventListener('wheel', (e) => {
        e.preventDefault();
        if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY))
            pan((e.deltaX || e.deltaY) / 1000);
        else
            zoom(Math.exp(e.deltaY / 400), e.offsetX);
    }, {passive: false});
    canvas.addEventListener('pointerdown', (e) => {
        drag = {x: e.offsetX, from: view.from, to: view.to, overview: e.offsetY < overviewHeight(), moved: false};
        canvas.setPointerCapture(e.pointerId);
        if (drag.overview)
            overviewTo(e.offsetX);
    });
    canvas.addEventListener('pointermove', (e) => {
        if (drag === null) {
            hover(e.offsetX, e.offsetY, e.clientX, e.clientY);
            return;
        }
        if (drag.overview)
            overviewTo(e.offsetX);
        else if (drag.moved || Math.abs(e.offsetX - drag.x) > 3) {
            drag.moved = true;
            const by = (drag.x - e.offsetX) / (view.width - GUTTER) * (drag.to - drag.from);
            show(drag.from + by, drag.to + by);
        }
    });
    canvas.addEventListener('pointerup', (e) => {
        const still = drag !== null && !drag.moved && !drag.overview;
        drag = null;
        if (!still)
            return;
        held = under(e.offsetX, e.offsetY);
        chosen = held !== null && held.record !== undefined ? held.record : -1;
        if (held !== null && held.term)
            tellTerm(held.term);
        else {
            focus = null;
            $('story').replaceChildren(...(held === null ? [] : [details(held)]));
        }
        redraw();
    });
    canvas.addEventListener('pointerleave', () => {
        $('tip').hidden = true;
    });
    canvas.addEventListener('dblclick', (e) => zoom(0.25, e.offsetX));
    addEventListener('resize', redraw);
    addEventListener('hashchange', readAddress);
    addEventListener('keydown', key);
}

function key(e) {
    if (e.target instanceof HTMLInputElement && e.target.type === 'search' || e.ctrlKey || e.metaKey || e.altKey)
        return;
    const actions = {'+': () => zoom(0.5), '=': () => zoom(0.5), '-': () => zoom(2), ArrowLeft: () => pan(-0.25),
        ArrowRight: () => pan(0.25), ArrowUp: () => zoom(0.5), ArrowDown: () => zoom(2), Home: () => show(head.from, head.to),
        0: () => show(head.from, head.to), n: () => go(current + 1), p: () => go(current - 1), '/': () => $('find').focus(),
        Escape: () => {
            held = focus = null;
            chosen = -1;
            $('story').replaceChildren();
            $('tip').hidden = true;
            redraw();
        }};
    if (actions[e.key]) {
        e.preventDefault();
        actions[e.key]();
    }
}

/* --- the panel ------------------------------------------------------------------------------------ */

function tellLeft() {
    const many = left.map(({group, count}) => count.toLocaleString('en') + ' ' + group.label).join(', ');
    $('left').textContent = many === '' ? '' : 'Too many to draw one by one, shown as density: ' + many + '. Zoom in.';
}

function tellTerm(t) {
    const story = termStory(t), box = $('story'), title = document.createElement('b'), list = document.createElement('ol');
    title.textContent = 'Term ' + t.term + ': ' + (t.more.length > 0 ? 'two leaders' : t.winner !== 0
        ? 'replica ' + t.winner + ' wins' : verdict(t));
    for (const line of story.lines) {
        const item = document.createElement('li'), time = document.createElement('i');
        time.textContent = seconds(line.at) + ' s ';
        item.append(time, line.text);
        list.appendChild(item);
    }
    const table = document.createElement('table');
    for (const [id, by, unheard] of story.tally)
        table.appendChild(row('replica ' + id, by.length + (by.length === 1 ? ' vote' : ' votes') + (by.length > 0 ? ': of ' +
            by.join(', ') : '') + (unheard.length > 0 ? '; that of ' + unheard.join(', ') + ' never reached it' : '')));
    const end = document.createElement('p');
    end.textContent = story.end;
    box.replaceChildren(title, list, table, end);
    focus = t;
    redraw();
}

function go(place) {
    if (listed.length === 0)
        return;
    current = Math.max(0, Math.min(place, listed.length - 1));
    const e = listed[current], margin = Math.max((e.to - e.at) * 0.25, 4e6);
    show(e.at - margin, Math.min(e.to, e.at + 400e6) + margin);
    focus = null;
    if (e.term)
        tellTerm(e.term);
    [...$('events').children].forEach((item, n) => item.classList.toggle('current', n === current));
    const item = $('events').children[current];
    if (item)
        item.scrollIntoView({block: 'nearest'});
}

function list() {
    const find = $('find').value.toLowerCase();
    listed = events.filter((e) => wanted.has(e.type) && (find === '' || (e.type + ' ' + e.text).toLowerCase().includes(find)));
    current = -1;
    $('events').replaceChildren(...listed.map((e, n) => {
        const item = document.createElement('li'), time = document.createElement('i');
        time.textContent = seconds(e.at, 3) + ' ';
        item.className = e.type.replace(' ', '-');
        item.append(time, e.text);
        item.onclick = () => go(n);
        return item;
    }));
    $('found').textContent = listed.length + ' of ' + events.length;
}

function box(name, checked, colour, change) {
    const line = document.createElement('label'), input = document.createElement('input'), swatch = document.createElement('span');
    input.type = 'checkbox';
    input.checked = checked;
    input.onchange = () => change(input.checked);
    swatch.className = 'swatch';
    if (colour)
        swatch.style.background = 'var(--' + colour + ')';
    line.append(input, ...(colour ? [swatch] : []), name);
    return line;
}

function fill() {
    const failed = head.failure !== '' || violations.length > 0;
    $('seed').textContent = 'Keel simulator, seed ' + head.seed;
    $('verdict').textContent = failed ? 'FAILED ' + (head.failure || violations[0].text) : 'all checks held';
    $('verdict').className = failed ? 'failed' : 'held';
    document.title = 'seed ' + head.seed + (failed ? ' FAILED' : '');
    const window = head.from > 0 || head.to < head.end ? 'recorded from ' + seconds(head.from, 3) + ' to ' + seconds(head.to, 3) +
        ' s of ' + seconds(head.end, 3) + ' s (the rest is hatched); ' : '';
    $('facts').textContent = window + head.nodes + ' replicas, ' + head.guests + ' clients, ' + head.holders + ' holders of locks, ' + store.count.toLocaleString('en') +
        ' records; ' + Object.entries(head.seen).map(([name, n]) => n.toLocaleString('en') + ' ' + name).join(', ') + '. Faults: ' +
        (Object.entries(head.faults).filter(([, n]) => n > 0).map(([name, n]) => name + ' ' + n.toLocaleString('en')).join(', ') || 'none');
    if (head.leftOut > 0)
        $('out').textContent = 'Left out: ' + head.leftOut.toLocaleString('en') + ' frames, drive operations, commits and messages before ' +
            seconds(head.wholeFrom, 3) + ' s (hatched). The page keeps the last ' + head.limit.toLocaleString('en') +
            ' of them; elections, votes, faults, starts and crashes are all here. Draw a part of the seed with --from and --to.';
    $('groups').replaceChildren(...GROUPS.map((g) => box(g.label + ' (' + g.list.length.toLocaleString('en') + ')', shown.has(g.name),
        g.colour, (on) => {
            (on ? shown.add(g.name) : shown.delete(g.name));
            writeAddress();
            redraw();
        })));
    $('types').replaceChildren(...types.map(([type, name]) => box(name, wanted.has(type), null, (on) => {
        (on ? wanted.add(type) : wanted.delete(type));
        list();
    })));
    $('find').oninput = list;
    $('all').onclick = () => show(head.from, head.to);
    $('in').onclick = () => zoom(0.5);
    $('away').onclick = () => zoom(2);
    $('theme').onclick = () => {
        const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === 'dark'
            : matchMedia('(prefers-color-scheme: dark)').matches;
        document.documentElement.dataset.theme = dark ? 'light' : 'dark';
        takeColours();
        writeAddress();
        redraw();
    };
}

readAddress();
fill();
list();
listen();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    takeColours();
    redraw();
});
