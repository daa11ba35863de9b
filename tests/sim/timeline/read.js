'use strict';
// The records of a seed: decoded once into columns, and split into the groups that the legend names.

// Groups of frames and marks: order is priority when not everything can be drawn. `bulk` groups are drawn as
// density where there are too many; `on` is what is shown at first.
const GROUPS = [
    {name: 'vote', label: 'votes, TIMEOUT_NOW', colour: 'vote', on: true},
    {name: 'chain', label: 'chain disputes', colour: 'bad', on: true},
    {name: 'prevote', label: 'pre-votes', colour: 'prevote', on: true},
    {name: 'checkpoint', label: 'checkpoint chunks', colour: 'checkpoint', on: true},
    {name: 'append', label: 'appends with entries', colour: 'append', on: true},
    {name: 'reply', label: 'answers to appends', colour: 'reply', on: true},
    {name: 'heartbeat', label: 'heartbeats, probes', colour: 'heartbeat', on: true},
    {name: 'client', label: 'clients\u2019 packets, answers', colour: 'client', on: true},
    {name: 'handshake', label: 'handshakes, ARP', colour: 'handshake', on: false},
    {name: 'cluster', label: 'digests, members', colour: 'handshake', on: false},
    {name: 'feed', label: 'feed, its requests', colour: 'feed', on: false},
    {name: 'drive', label: 'drive writes, reads', colour: 'drive', on: true, mark: true},
    {name: 'commit', label: 'commits', colour: 'commit', on: true, mark: true},
    {name: 'message', label: 'clients\u2019 messages', colour: 'client', on: true, mark: true},
];

const KIND = {APPEND: 20, APPEND_REPLY: 21, VOTE: 18, VOTE_REPLY: 19, PREVOTE: 16, PREVOTE_REPLY: 17,
    START: 128, DOWN: 129, ROLE: 130, VOTED: 132, COMMIT: 133, CONFIG: 134, INSTALL: 135, HANDOVER: 136,
    PAUSE: 137, NOTE: 138, WRITE: 139, ZERO: 140, READ: 141, FLUSH: 142, TORN: 143, LIFE: 144, SLEEP: 145,
    SESSION: 146, SESSION_END: 147, MESSAGE: 148, RESULT: 149, FAULT: 150, CUT: 151, PHASE: 152,
    VIOLATION: 153, HOLDS: 154};
const FATE = {ARRIVED: 0, DUPLICATE: 1, LOST: 2, CUT_OFF: 3, NOBODY: 4, DUPLICATE_NOBODY: 5, UNDER_WAY: 6,
    DUPLICATE_UNDER_WAY: 7};
const ROLE = {FOLLOWER: 0, PRECANDIDATE: 1, CANDIDATE: 2, LEADER: 3};
const VALUES = 6;

const head = JSON.parse(document.getElementById('head').textContent);
const store = decode(document.getElementById('records'));

// Base64 to columns. The form is told at the head of timeline_page.c.
function decode(element) {
    const text = atob(element.textContent.replace(/\s/g, ''));
    element.remove();
    let count = 0;
    const guess = Math.ceil(text.length / 7) + 1;
    const columns = {at: new Float64Array(guess), until: new Float64Array(guess), kind: new Uint8Array(guess),
        from: new Uint8Array(guess), to: new Uint8Array(guess), fate: new Uint8Array(guess),
        size: new Uint32Array(guess), value: new Float64Array(guess * VALUES)};
    let place = 0, now = 0;
    const byte = () => text.charCodeAt(place++);
    const number = () => {
        let value = 0, factor = 1;
        for (let b = 128; b >= 128; factor *= 128) {
            b = byte();
            value += (b & 127) * factor;
        }
        return value;
    };
    while (place < text.length) {
        const kind = byte();
        if (kind === 0)
            break;
        const ends = byte(), fate = byte();
        now += number();
        columns.kind[count] = kind;
        columns.from[count] = ends & 15;
        columns.to[count] = ends >> 4;
        columns.fate[count] = fate >> 3;
        columns.at[count] = now;
        columns.until[count] = now + number();
        columns.size[count] = number();
        for (let i = 0; i < (fate & 7); i++)
            columns.value[count * VALUES + i] = number();
        count++;
    }
    columns.count = count;
    return columns;
}

const valueOf = (i, which) => store.value[i * VALUES + which];
const kindOf = (i) => head.kinds[store.kind[i]] || {n: 'kind ' + store.kind[i], g: '', f: []};
const isFrame = (i) => store.kind[i] < KIND.START;
const isReplica = (endpoint) => endpoint > 0 && endpoint < head.guestFrom;

function groupOf(i) {
    const kind = store.kind[i];
    if (kind === KIND.APPEND)
        return valueOf(i, 1) === 0 ? 'heartbeat' : 'append';
    return kind === KIND.APPEND_REPLY ? 'reply' : kindOf(i).g;
}

// For each group its records in the order of time, and the longest of them: what is in view of a window
// begins at most that long before it.
function gather() {
    const groups = new Map(GROUPS.map((g) => [g.name, Object.assign(g, {list: [], longest: 0})]));
    const marks = [];
    for (let i = 0; i < store.count; i++) {
        const group = groups.get(groupOf(i));
        if (group === undefined) {
            marks.push(i);
            continue;
        }
        group.list.push(i);
        group.longest = Math.max(group.longest, store.until[i] - store.at[i]);
    }
    for (const group of GROUPS)
        group.list = Uint32Array.from(group.list);
    return marks;
}
const marks = gather();

// The first place in a list whose record is not before a time.
function placeOf(list, time) {
    let low = 0, high = list.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (store.at[list[middle]] < time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// How long a frame usually takes: where a lost one would have gone.
function usualDelay() {
    const delays = [];
    for (let i = 0; i < store.count && delays.length < 20000; i++)
        if (isFrame(i) && store.fate[i] === FATE.ARRIVED)
            delays.push(store.until[i] - store.at[i]);
    delays.sort((a, b) => a - b);
    return delays.length > 0 ? delays[delays.length >> 1] : 1000;
}
const delayUsual = usualDelay();

/* --- words ------------------------------------------------------------------------------------- */

const clientName = (e) => e < head.holderFrom ? 'client ' + (e - head.guestFrom) : 'holder ' + (e - head.holderFrom);
const endpointName = (e) => e === 0 ? 'the cluster' : isReplica(e) ? 'replica ' + e : clientName(e);
const seconds = (ns, digits) => (ns / 1e9).toFixed(digits === undefined ? 6 : digits);

function duration(ns) {
    return ns >= 1e9 ? (ns / 1e9).toFixed(3) + ' s' : ns >= 1e6 ? (ns / 1e6).toFixed(3) + ' ms'
        : (ns / 1e3).toFixed(1) + ' \u00b5s';
}

function members(mask) {
    const ids = [];
    for (let id = 1; id < 8; id++)
        if (mask >> id & 1)
            ids.push(id);
    return ids.length > 0 ? ids.join(', ') : 'none';
}

// The word for a value, as the kind's field says it is to be shown.
function word(list, value) {
    if (list === undefined)
        return String(value);
    if (list === 'text')
        return head.texts[value];
    if (list === 'members')
        return members(value);
    if (list === 'members2')
        return members(value & 255) + (value > 255 ? ' and ' + members(value >> 8) + ' (joint)' : '');
    if (list === 'kind')
        return head.kinds[value] ? head.kinds[value].n : String(value);
    if (list === 'mold')
        return value === 0 ? 'heartbeat' : value === 65535 ? 'end of day' : String(value);
    const known = head.lists[list][value];
    return known === undefined || known === '' ? String(value) : known;
}

// [name, word] of each of a record's values.
function fields(i) {
    return kindOf(i).f.map((spec, which) => {
        const [name, list] = spec.split(':');
        return [name, word(list, valueOf(i, which))];
    });
}
