'use strict';
// The canvas: an overview of the whole seed, and below it the window in view, lane by lane.

const ARROWS_MAX = 3000, LABELS_MAX = 160, GUTTER = 118, OVERVIEW = 14, RULER = 26, WORLD = 40, TERMS = 24;
const canvas = document.getElementById('lanes');
const pen = canvas.getContext('2d');
const view = {from: head.from, to: Math.max(head.to, head.from + 1000), width: 0, height: 0};
let targets = []; // what the pointer can be over: {x0,y0,x1,y1,...} segments and boxes
let boxes = [];   // where labels stand
let left = [];    // groups drawn as density: {group, count}
let chosen = -1;  // record under the pointer or held
let colours = {};
let focus = null; // the term whose votes stand out

const shown = new Set(GROUPS.filter((g) => g.on).map((g) => g.name));

function takeColours() {
    const style = getComputedStyle(document.documentElement);
    colours = {};
    for (const name of ['ink', 'faint', 'paper', 'panel', 'line', 'vote', 'granted', 'refused', 'prevote', 'checkpoint',
        'append', 'reply', 'heartbeat', 'client', 'handshake', 'feed', 'drive', 'commit', 'bad', 'follower',
        'precandidate', 'candidate', 'leader', 'down', 'pause', 'split', 'lead-ink', 'cut'])
        colours[name] = style.getPropertyValue('--' + name).trim();
}

const xOf = (time) => GUTTER + (time - view.from) / (view.to - view.from) * (view.width - GUTTER);
const timeOf = (x) => view.from + (x - GUTTER) / (view.width - GUTTER) * (view.to - view.from);

function layout() {
    const top = overviewHeight() + RULER + WORLD + TERMS, guests = lanes.filter((l) => !l.replica).length;
    const room = view.height - top - 8, guest = Math.min(64, Math.max(36, room * 0.12));
    const replica = Math.max(52, (room - guests * guest) / head.nodes);
    let y = top;
    for (const lane of lanes) {
        lane.top = y;
        lane.height = lane.replica ? replica : guest;
        lane.y = y + lane.height / 2;
        y += lane.height;
    }
}

const overviewHeight = () => OVERVIEW + head.nodes * 6 + 6;

/* --- small things ------------------------------------------------------------------------------- */

function text(words, x, y, colour, align, font) {
    pen.font = font || '11px system-ui, sans-serif';
    pen.textAlign = align || 'left';
    pen.fillStyle = colour;
    pen.fillText(words, x, y);
}

// A label with a halo, where no other stands; true if there was room.
function label(words, x, y, colour, font, force) {
    pen.font = font || '11px system-ui, sans-serif';
    const width = pen.measureText(words).width + 6, box = {x0: x - width / 2, x1: x + width / 2, y0: y - 8, y1: y + 6};
    if (!force && (box.x0 < GUTTER || box.x1 > view.width || boxes.some((b) => b.x0 < box.x1 && b.x1 > box.x0 &&
        b.y0 < box.y1 && b.y1 > box.y0)))
        return false;
    boxes.push(box);
    pen.textAlign = 'center';
    pen.lineWidth = 4;
    pen.lineJoin = 'round';
    pen.strokeStyle = colours.paper;
    pen.strokeText(words, x, y + 3);
    pen.fillStyle = colour;
    pen.fillText(words, x, y + 3);
    return true;
}

// Words inside a bar, cut to what fits; none if hardly any do.
function inside(words, x0, x1, y, colour, font) {
    pen.font = font || '11px system-ui, sans-serif';
    const room = Math.min(x1, view.width) - Math.max(x0, GUTTER) - 6;
    let fits = words;
    while (fits.length > 3 && pen.measureText(fits).width > room)
        fits = fits.slice(0, -2);
    if (room < 16 || pen.measureText(fits).width > room)
        return;
    text(fits.length < words.length ? fits.slice(0, -1) + '\u2026' : fits, Math.max(x0, GUTTER) + 3, y, colour, 'left', font);
}

function hatch(x0, y0, width, height, colour) {
    pen.save();
    pen.beginPath();
    pen.rect(x0, y0, width, height);
    pen.clip();
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    pen.beginPath();
    for (let x = x0 - height - (x0 % 8); x < x0 + width; x += 8) {
        pen.moveTo(x, y0 + height);
        pen.lineTo(x + height, y0);
    }
    pen.stroke();
    pen.restore();
}

const inView = (s) => s.to >= view.from && s.at <= view.to;

// A span's place on the canvas, at least one pixel wide.
function span(s) {
    const x0 = Math.max(GUTTER, xOf(s.at)), x1 = Math.min(view.width, Math.max(xOf(s.to), xOf(s.at) + 1));
    return [x0, Math.max(1, x1 - x0)];
}

/* --- overview and ruler ------------------------------------------------------------------------- */

function stateColour(s) {
    return s.down ? colours.down : [colours.follower, colours.precandidate, colours.candidate, colours.leader][s.role];
}

const overviewX = (time) => GUTTER + time / head.end * (view.width - GUTTER);

function drawOverview() {
    const height = overviewHeight();
    pen.fillStyle = colours.panel;
    pen.fillRect(0, 0, view.width, height);
    text('seed: ' + seconds(head.end, 1) + ' s', 8, 14, colours.faint);
    text('view: ' + duration(view.to - view.from), 8, 29, colours.faint);
    lanes.filter((l) => l.replica).forEach((lane, row) => {
        const strong = [];
        for (const s of lane.states) {
            const x = overviewX(s.at), width = Math.max(overviewX(s.to) - x, 0.4);
            if (!s.down && s.role === ROLE.FOLLOWER) {
                pen.fillStyle = stateColour(s);
                pen.fillRect(x, OVERVIEW + row * 6, width, 5);
            } else
                strong.push([s, x, width]);
        }
        for (const [s, x, width] of strong) {
            pen.fillStyle = stateColour(s);
            pen.fillRect(x, OVERVIEW + row * 6, Math.max(width, 1), 5);
        }
    });
    for (const e of events) {
        if (e.type !== 'split vote' && e.type !== 'violation' && e.type !== 'crash')
            continue;
        pen.fillStyle = e.type === 'crash' ? colours.ink : e.type === 'violation' ? colours.bad : colours.split;
        pen.fillRect(overviewX(e.at) - 1, e.type === 'crash' ? OVERVIEW - 5 : 2, 2, e.type === 'crash' ? 4 : OVERVIEW - 3);
    }
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 1.5;
    const x = overviewX(view.from);
    pen.strokeRect(x, 1, Math.max(3, overviewX(view.to) - x), height - 3);
}

function drawRuler() {
    const top = overviewHeight(), range = view.to - view.from, wide = view.width - GUTTER;
    let step = Math.pow(10, Math.floor(Math.log10(range / wide * 110)));
    while (step / range * wide < 90)
        step *= step.toString()[0] === '2' ? 2.5 : 2;
    const digits = Math.max(0, Math.min(9, 9 - Math.floor(Math.log10(step))));
    pen.lineWidth = 1;
    for (let time = Math.ceil(view.from / step) * step; time <= view.to; time += step) {
        const x = Math.round(xOf(time)) + 0.5;
        pen.strokeStyle = colours.line;
        pen.beginPath();
        pen.moveTo(x, top + RULER - 6);
        pen.lineTo(x, view.height);
        pen.stroke();
        if (x > GUTTER + 26 && x < view.width - 26)
            text(seconds(time, digits) + ' s', x, top + 15, colours.ink, 'center');
    }
    const whole = head.leftOut > 0 ? head.wholeFrom : 0;
    for (const [from, to] of [[0, Math.max(head.from, whole)], [head.to, Infinity]])
        if (to > view.from && from < view.to && to > from) {
            const x0 = Math.max(GUTTER, xOf(from)), x1 = Math.min(view.width, xOf(to));
            if (x1 > x0)
                hatch(x0, top + RULER, x1 - x0, view.height - top - RULER, colours.line);
        }
}

/* --- the cluster's own two lanes ----------------------------------------------------------------- */

function drawWorld() {
    const top = overviewHeight() + RULER;
    for (const cut of cuts.filter(inView)) {
        const [x, width] = span(cut);
        pen.fillStyle = colours.cut;
        pen.fillRect(x, top + 22, width, 15);
        inside('cut ' + cut.text, x, x + width, top + 33, colours.ink);
        targets.push({box: [x, top + 22, x + width, top + 37], record: cut.record, words: 'links cut: ' + cut.text +
            ', for ' + duration(cut.to - cut.at)});
    }
    for (const mark of [...violations, ...phases, ...faults]) {
        if (mark.at < view.from || mark.at > view.to)
            continue;
        const x = Math.round(xOf(mark.at)) + 0.5, bad = violations.includes(mark), phase = phases.includes(mark);
        pen.strokeStyle = bad ? colours.bad : phase ? colours.ink : colours.faint;
        pen.setLineDash(bad ? [] : [3, 4]);
        pen.lineWidth = bad ? 2 : 1;
        pen.beginPath();
        pen.moveTo(x, top + 4);
        pen.lineTo(x, bad || phase ? view.height : top + WORLD - 4);
        pen.stroke();
        pen.setLineDash([]);
        pen.font = '11px system-ui, sans-serif';
        const words = bad ? 'VIOLATION: ' + mark.text : mark.text, half = pen.measureText(words).width / 2 + 4;
        label(words, x + half < view.width ? x + half : x - half, top + 12, bad ? colours.bad : colours.ink);
        targets.push({box: [x - 3, top, x + 3, bad ? view.height : top + WORLD], record: mark.record, words});
    }
}

function drawTerms() {
    const top = overviewHeight() + RULER + WORLD;
    text('elections', 8, top + 15, colours.ink, 'left', 'bold 12px system-ui, sans-serif');
    for (const t of elections.filter(inView)) {
        const [x, width] = span(t), won = t.winner !== 0, split = verdict(t) === 'split vote';
        const colour = won ? colours.leader : split ? colours.split : colours.candidate;
        pen.globalAlpha = split ? 0.16 : 0.08;
        pen.fillStyle = colour;
        pen.fillRect(x, top, width, view.height - top);
        pen.globalAlpha = 1;
        pen.fillRect(x, top + 3, width, TERMS - 7);
        if (width > 20)
            inside(t.story, x, x + width, top + 16, colours['lead-ink'], 'bold 11px system-ui, sans-serif');
        targets.push({box: [x - 2, top, x + width + 2, top + TERMS], words: t.story, term: t});
    }
}

/* --- lanes --------------------------------------------------------------------------------------- */

// How far a candidate came.
function candidateText(lane, term) {
    const t = terms.get(term), found = t && tally(t).find(([id]) => id === lane.endpoint);
    return found ? 'votes of ' + found[1].join(', ') + ' (needs ' + quorum(t) + ')' : '';
}

function drawState(lane, s) {
    const [x, width] = span(s), strong = s.down || s.role !== ROLE.FOLLOWER, high = strong ? 18 : 8;
    pen.fillStyle = stateColour(s);
    pen.fillRect(x, lane.y - high / 2, width, high);
    if (s.down)
        hatch(x, lane.y - high / 2, width, high, colours.faint);
    const words = s.down ? 'down' : s.role === ROLE.FOLLOWER ? '' : word('role', s.role) + ', term ' + s.term +
        (s.role === ROLE.CANDIDATE ? ': ' + candidateText(lane, s.term) : '');
    inside(words, x, x + width, lane.y + 4, s.down ? colours.paper : colours['lead-ink'], 'bold 11px system-ui, sans-serif');
    targets.push({box: [x, lane.y - high / 2, x + width, lane.y + high / 2], record: s.record, weak: true, words:
        s.down ? lane.name + ' is down for ' + duration(s.to - s.at) : lane.name + ' is ' + word('role', s.role) +
        ' in term ' + s.term + ' for ' + duration(s.to - s.at) + (s.leader ? ', leader ' + s.leader : ', knows no leader')});
}

function drawLane(lane) {
    pen.strokeStyle = colours.line;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(0, lane.top + 0.5);
    pen.lineTo(view.width, lane.top + 0.5);
    pen.stroke();
    if (!lane.replica) {
        pen.strokeStyle = colours.follower;
        pen.lineWidth = 3;
        pen.beginPath();
        pen.moveTo(GUTTER, lane.y);
        pen.lineTo(view.width, lane.y);
        pen.stroke();
    }
    const visible = lane.states.filter(inView);
    for (const s of visible.filter((v) => !v.down && v.role === ROLE.FOLLOWER))
        drawState(lane, s);
    for (const pause of lane.pauses.filter(inView)) {
        const [x, width] = span(pause);
        hatch(x, lane.y - 12, width, 24, colours.pause);
        inside(lane.replica ? 'stands still' : 'asleep', x, x + width, lane.y - 15, colours.ink);
        targets.push({box: [x, lane.y - 12, x + width, lane.y + 12], record: pause.record, weak: true, words: lane.name +
            (lane.replica ? ' stands still for ' : ' sleeps for ') + duration(pause.to - pause.at)});
    }
    for (const s of visible.filter((v) => v.down || v.role !== ROLE.FOLLOWER))
        drawState(lane, s);
}

// Above the lane what is believed of /a, below it of /b; what is shared is hatched.
function drawHolds(lane) {
    for (const hold of lane.holds.filter(inView)) {
        const [x, width] = span(hold), top = hold.path === 0 ? lane.y - 13 : lane.y + 3;
        if (hold.mode === 1) {
            pen.fillStyle = colours.commit;
            pen.fillRect(x, top, width, 10);
        } else
            hatch(x, top, width, 10, colours.commit);
        inside(hold.text, x, x + width, top + 9, hold.mode === 1 ? colours['lead-ink'] : colours.ink);
        targets.push({box: [x, top, x + width, top + 10], record: hold.record, words: lane.name + ' believes that it holds ' +
            hold.text + ', for ' + duration(hold.to - hold.at)});
    }
}

function drawName(lane) {
    pen.fillStyle = colours.paper;
    pen.fillRect(0, lane.top + 1, GUTTER - 2, lane.height - 1);
    text(lane.name, 8, lane.y + 4, colours.ink, 'left', 'bold 12px system-ui, sans-serif');
    const now = lane.states.find((s) => s.at <= view.from && s.to > view.from);
    if (now !== undefined && lane.replica)
        text(now.down ? 'down' : word('role', now.role) + ', term ' + now.term, 8, lane.y + 18, colours.faint, 'left',
            '10px system-ui, sans-serif');
}

function drawMarks(lane) {
    const votes = lane.votes.filter((vote) => vote.at >= view.from && vote.at <= view.to);
    for (const vote of votes) {
        const x = xOf(vote.at);
        pen.fillStyle = colours.vote;
        pen.strokeStyle = colours.paper;
        pen.lineWidth = 1.5;
        pen.beginPath();
        pen.arc(x, lane.y, 5, 0, 7);
        pen.fill();
        pen.stroke();
        if (votes.length < 8)
            label('votes for ' + (vote.whom === lane.endpoint ? 'itself' : vote.whom) + ' (term ' + vote.term + ')', x,
                lane.y - 19, colours.ink, 'bold 11px system-ui, sans-serif');
        targets.push({box: [x - 6, lane.y - 6, x + 6, lane.y + 6], record: vote.record, words: lane.name +
            ' votes for ' + vote.whom + ' in term ' + vote.term});
    }
    for (const mark of lane.marks) {
        if (mark.at < view.from || mark.at > view.to)
            continue;
        const x = Math.round(xOf(mark.at)) + 0.5;
        pen.strokeStyle = mark.bad ? colours.bad : colours.ink;
        pen.lineWidth = 2;
        pen.beginPath();
        pen.moveTo(x, lane.y - 14);
        pen.lineTo(x, lane.y + 14);
        pen.stroke();
        label(mark.text, x, lane.y - 20, mark.bad ? colours.bad : colours.ink);
        targets.push({box: [x - 4, lane.y - 14, x + 4, lane.y + 14], record: mark.record, words: lane.name + ' ' + mark.text});
    }
}

/* --- groups: density where there are many, else one by one --------------------------------------- */

// Counts by endpoint and column of three pixels.
function count(group, from, to, columns) {
    const scale = columns / (view.to - view.from), counts = Array.from({length: 16}, () => new Uint32Array(columns + 1));
    for (let p = from; p < to; p++) {
        const i = group.list[p];
        counts[store.from[i]][Math.max(0, Math.min(columns, Math.floor((store.at[i] - view.from) * scale)))]++;
    }
    return counts;
}

// Stacked: frames above a lane, what its drive and its commits do below; the height is logarithmic.
function drawDensity() {
    const columns = Math.ceil((view.width - GUTTER) / 3);
    const all = left.map(({group, from, to}) => [group, count(group, from, to, columns)]);
    pen.globalAlpha = 0.75;
    for (const lane of lanes)
        for (const below of [false, true]) {
            const part = all.filter(([group]) => Boolean(group.mark) === below), room = lane.height / 2 - 14;
            const sums = new Uint32Array(columns + 1), used = new Float32Array(columns + 1);
            for (const [, counts] of part)
                counts[lane.endpoint].forEach((n, c) => sums[c] += n);
            for (const [group, counts] of part) {
                pen.fillStyle = colours[group.colour];
                pen.beginPath();
                counts[lane.endpoint].forEach((n, c) => {
                    if (n === 0)
                        return;
                    const share = n / sums[c] * Math.min(room, 1.5 + 3 * Math.log2(1 + sums[c]));
                    pen.rect(GUTTER + c * 3, below ? lane.y + 10 + used[c] : lane.y - 10 - used[c] - share, 3, share);
                    used[c] += share;
                });
                pen.fill();
            }
        }
    pen.globalAlpha = 1;
}

function arrowColour(i, group) {
    const kind = store.kind[i];
    if (kind === KIND.VOTE_REPLY || kind === KIND.PREVOTE_REPLY)
        return valueOf(i, 1) ? colours.granted : colours.refused;
    return colours[group.colour];
}

// Where a frame's line ends on the canvas: lost ones on the way, cut ones at once.
function course(i) {
    const a = laneOf.get(store.from[i]), b = laneOf.get(store.to[i]), fate = store.fate[i];
    if (a === undefined || b === undefined)
        return null;
    const gone = fate === FATE.LOST || fate === FATE.CUT_OFF, part = fate === FATE.LOST ? 0.6 : fate === FATE.CUT_OFF ? 0.25 : 1;
    const x0 = xOf(store.at[i]), x1 = xOf(gone ? store.at[i] + delayUsual : store.until[i]);
    return {x0, y0: a.y, x1: x0 + (x1 - x0) * part, y1: a.y + (b.y - a.y) * part, gone, fate};
}

function drawArrow(i, group, bold) {
    const c = course(i);
    if (c === null || c.x1 < GUTTER || c.x0 > view.width)
        return null;
    const colour = arrowColour(i, group), votes = group.name === 'vote';
    pen.strokeStyle = pen.fillStyle = c.gone ? colours.bad : colour;
    pen.globalAlpha = bold || votes ? 1 : focus !== null && group.name !== 'prevote' ? 0.15 : group.name === 'heartbeat' || group.name === 'client' ? 0.55
        : 0.8;
    pen.lineWidth = bold ? 3.5 : votes ? 2 : 1.1;
    pen.setLineDash(c.gone ? [4, 3] : c.fate === FATE.DUPLICATE || c.fate === FATE.DUPLICATE_NOBODY ? [2, 3] : []);
    pen.beginPath();
    pen.moveTo(c.x0, c.y0);
    pen.lineTo(c.x1, c.y1);
    pen.stroke();
    pen.setLineDash([]);
    const angle = Math.atan2(c.y1 - c.y0, c.x1 - c.x0), size = bold || votes ? 9 : 6;
    pen.beginPath();
    if (focus !== null && c.gone && !votes)
        pen.globalAlpha = 0.15;
    if (c.gone || c.fate === FATE.NOBODY || c.fate === FATE.DUPLICATE_NOBODY) { // a cross
        pen.strokeStyle = colours.bad;
        pen.lineWidth = 2;
        for (const turn of [angle + 0.785, angle - 0.785]) {
            pen.moveTo(c.x1 - 5 * Math.cos(turn), c.y1 - 5 * Math.sin(turn));
            pen.lineTo(c.x1 + 5 * Math.cos(turn), c.y1 + 5 * Math.sin(turn));
        }
        pen.stroke();
    } else {
        pen.moveTo(c.x1, c.y1);
        pen.lineTo(c.x1 - size * Math.cos(angle - 0.35), c.y1 - size * Math.sin(angle - 0.35));
        pen.lineTo(c.x1 - size * Math.cos(angle + 0.35), c.y1 - size * Math.sin(angle + 0.35));
        pen.fill();
    }
    pen.globalAlpha = 1;
    return c;
}

function arrowWords(i) {
    const kind = store.kind[i], lost = store.fate[i] === FATE.LOST ? ' (lost)' : store.fate[i] === FATE.CUT_OFF ? ' (cut)' : '';
    const term = ' t' + valueOf(i, 0);
    if (kind === KIND.VOTE)
        return 'VOTE for ' + store.from[i] + '?' + term + lost;
    if (kind === KIND.PREVOTE)
        return 'pre-vote?' + term + lost;
    if (kind === KIND.VOTE_REPLY || kind === KIND.PREVOTE_REPLY)
        return (valueOf(i, 1) ? 'granted' : 'refused') + term + lost;
    if (kind === KIND.APPEND && valueOf(i, 1) > 0)
        return 'append ' + (valueOf(i, 2) + 1) + (valueOf(i, 1) > 1 ? '\u2013' + (valueOf(i, 2) + valueOf(i, 1)) : '') + lost;
    if (kind === KIND.APPEND)
        return 'heartbeat' + term + lost;
    if (kind === KIND.APPEND_REPLY)
        return valueOf(i, 1) === 0 ? 'holds ' + valueOf(i, 3) + lost : word('append', valueOf(i, 1)) + lost;
    return kindOf(i).n + lost;
}

function drawWrite(i, lane, row) {
    const x0 = xOf(store.at[i]), x1 = Math.max(x0 + 1.5, xOf(store.until[i])), y = lane.y + 13 + row * 5;
    const kind = store.kind[i], bad = store.fate[i] === FATE.LOST;
    pen.fillStyle = bad ? colours.bad : kind === KIND.WRITE ? colours.drive : colours.faint;
    pen.globalAlpha = kind === KIND.WRITE ? 1 : 0.5;
    pen.fillRect(x0, y, x1 - x0, 4);
    pen.globalAlpha = 1;
    targets.push({box: [x0 - 2, y - 1, x1 + 2, y + 5], record: i});
    if (kind === KIND.WRITE && valueOf(i, 0) === 0 && x1 - x0 > 50)
        label('page ' + valueOf(i, 1) + ': term ' + valueOf(i, 2) + (valueOf(i, 3) ? ', vote ' + valueOf(i, 3) : '') +
            (valueOf(i, 5) ? ', ' + valueOf(i, 5) + (valueOf(i, 5) === 1 ? ' entry' : ' entries') : ''), (x0 + x1) / 2, y + 12, colours.faint, '10px system-ui, sans-serif');
}

function drawMark(i, group, rows) {
    const lane = laneOf.get(store.from[i]), x = xOf(store.at[i]);
    if (lane === undefined)
        return;
    if (group.name === 'drive') { // operations that overlap lie below each other
        const used = rows.get(lane) || [];
        let row = used.findIndex((until) => until <= store.at[i]);
        if (row < 0)
            row = used.length < 4 ? used.length : 3;
        used[row] = store.until[i];
        rows.set(lane, used);
        drawWrite(i, lane, row);
        return;
    }
    const commit = group.name === 'commit', up = commit ? 9 : 6;
    pen.fillStyle = commit ? colours.commit : store.kind[i] === KIND.RESULT ? (valueOf(i, 1) === 0 ? colours.granted
        : colours.bad) : colours.client;
    pen.fillRect(x - 1, lane.y - up - 5, 2, 5);
    targets.push({box: [x - 3, lane.y - up - 6, x + 3, lane.y - up + 1], record: i});
}

// What each group has in view, in the order of GROUPS, drawn one by one while the budget lasts.
function drawGroups() {
    let budget = ARROWS_MAX, drawn = [];
    left = [];
    const plan = [];
    for (const group of GROUPS) {
        if (!shown.has(group.name))
            continue;
        const from = placeOf(group.list, view.from - group.longest), to = placeOf(group.list, view.to);
        const count = to - from;
        if (count <= budget) {
            budget -= count;
            plan.push({group, from, to});
        } else {
            left.push({group, from, to, count});
        }
    }
    drawDensity();
    for (const {group, from, to} of plan.reverse()) {
        const rows = new Map();
        for (let p = from; p < to; p++) {
            const i = group.list[p];
            if (group.mark) {
                drawMark(i, group, rows);
                continue;
            }
            const c = drawArrow(i, group, false);
            if (c !== null) {
                targets.push({line: [c.x0, c.y0, c.x1, c.y1], record: i});
                drawn.push([i, group, c]);
            }
        }
    }
    return drawn;
}

function drawLabels(drawn) {
    const votes = drawn.filter(([, group]) => group.name === 'vote').length;
    let labels = 0;
    for (const [i, group, c] of drawn.reverse()) {
        const long = Math.hypot(c.x1 - c.x0, c.y1 - c.y0), few = group.name === 'vote' ? votes < 60 : drawn.length < 120;
        if (labels >= LABELS_MAX || long < 40 || !(few || c.x1 - c.x0 > 60) || (focus !== null && group.name !== 'vote'))
            continue;
        const words = arrowWords(i);
        for (const part of [0.5, 0.35, 0.65, 0.22, 0.8])
            if (label(words, c.x0 + (c.x1 - c.x0) * part, c.y0 + (c.y1 - c.y0) * part, c.gone ? colours.bad : arrowColour(i, group),
                group.name === 'vote' ? 'bold 11px system-ui, sans-serif' : '10px system-ui, sans-serif')) {
                labels++;
                break;
            }
    }
}

function draw() {
    const ratio = window.devicePixelRatio || 1, box = canvas.parentElement.getBoundingClientRect();
    view.width = Math.max(400, Math.floor(box.width));
    const guests = lanes.length - head.nodes;
    view.height = Math.max(Math.floor(box.height), overviewHeight() + RULER + WORLD + TERMS + head.nodes * 52 + guests * 36 + 8);
    if (canvas.width !== view.width * ratio || canvas.height !== view.height * ratio) {
        canvas.width = view.width * ratio;
        canvas.height = view.height * ratio;
        canvas.style.width = view.width + 'px';
        canvas.style.height = view.height + 'px';
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, view.width, view.height);
    targets = [];
    boxes = [];
    layout();
    drawRuler();
    drawTerms();
    lanes.forEach(drawLane);
    lanes.forEach(drawHolds);
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, view.width, view.height);
    pen.clip();
    const drawn = drawGroups();
    lanes.forEach(drawMarks);
    drawWorld();
    drawLabels(drawn);
    if (chosen >= 0 && isFrame(chosen))
        drawArrow(chosen, GROUPS.find((g) => g.name === groupOf(chosen)), true);
    pen.restore();
    text('faults', 8, overviewHeight() + RULER + 16, colours.ink, 'left', 'bold 12px system-ui, sans-serif');
    lanes.forEach(drawName);
    drawOverview();
}
