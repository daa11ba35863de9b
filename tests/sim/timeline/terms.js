'use strict';
// What the marks mean: spans of each lane, elections by term, and the list of events that can be gone to.

const lanes = [];
function addLane(endpoint) {
    lanes.push({endpoint, replica: isReplica(endpoint), name: endpointName(endpoint), states: [], pauses: [], votes: [],
        marks: [], holds: []});
}
for (let id = 1; id <= head.nodes; id++)
    addLane(id);
for (let g = 0; g < head.guests; g++)
    addLane(head.guestFrom + g);
for (let h = 0; h < head.holders; h++)
    addLane(head.holderFrom + h);
const laneOf = new Map(lanes.map((lane) => [lane.endpoint, lane]));
const terms = new Map();
const events = []; // {at, to, type, text, lane}
const cuts = [], configs = [], phases = [], faults = [], violations = [];

function event(at, type, text, lane, to) {
    events.push({at, to: to === undefined ? at : to, type, text, lane});
}

// Where what lasts until the end is drawn to: a failed seed shows what its last moment made.
const drawnEnd = head.end + (head.failure !== '' ? 3e6 : 0);

// Ends a lane's state at a time and begins the next.
function state(lane, at, next) {
    const last = lane.states[lane.states.length - 1];
    if (last !== undefined)
        last.to = at;
    lane.states.push(Object.assign({at, to: drawnEnd}, next));
}

function termOf(term) {
    if (!terms.has(term))
        terms.set(term, {term, candidates: new Map(), votes: new Map(), refused: [], winner: 0, more: [], won: 0, at: Infinity,
            to: 0, heard: new Set(), asked: new Map()});
    return terms.get(term);
}

function campaign(term, id, at) {
    const t = termOf(term);
    if (!t.candidates.has(id))
        t.candidates.set(id, at);
    t.at = Math.min(t.at, at);
    t.to = Math.max(t.to, at);
}

function readRole(lane, i) {
    const at = store.at[i], role = valueOf(i, 0), term = valueOf(i, 1);
    state(lane, at, {role, term, leader: valueOf(i, 2), record: i});
    if (role === ROLE.CANDIDATE)
        campaign(term, lane.endpoint, at);
    if (role !== ROLE.LEADER)
        return;
    const t = termOf(term);
    campaign(term, lane.endpoint, at);
    if (t.winner === lane.endpoint || t.more.includes(lane.endpoint))
        return;
    if (t.winner === 0)
        t.winner = lane.endpoint;
    else
        t.more.push(lane.endpoint); // what must never be
    t.won = at;
}

function cutText(i) {
    const rows = [];
    for (let a = 0; a < 3 * VALUES; a++)
        rows.push(Math.floor(valueOf(i, Math.floor(a / 3)) / 65536 ** (a % 3)) % 65536);
    const there = lanes.map((lane) => lane.endpoint), said = [];
    const short = (e) => isReplica(e) ? String(e) : clientName(e);
    const groups = new Map(); // endpoints that are cut off from the same others
    for (const a of there) {
        const away = there.filter((b) => rows[a] >> b & 1).map(short).join(', ');
        if (away !== '')
            groups.set(away, (groups.get(away) || []).concat(short(a)));
    }
    for (const [away, from] of groups)
        said.push('from ' + from.join(', ') + ' to ' + away);
    return said.join('; ');
}

function readWorld(i) {
    const at = store.at[i], kind = store.kind[i];
    if (kind === KIND.FAULT) {
        const name = word('fault', valueOf(i, 0));
        faults.push({at, text: name, record: i});
        if (name !== 'cut' && name !== 'cut-one-way' && name !== 'pause')
            event(at, 'fault', 'fault: ' + name, null);
    } else if (kind === KIND.CUT) {
        if (cuts.length > 0 && cuts[cuts.length - 1].to === Infinity)
            cuts[cuts.length - 1].to = at;
        const text = cutText(i);
        if (text !== '') {
            cuts.push({at, to: Infinity, text, record: i});
            event(at, 'cut', 'links cut: ' + text, null);
        } else
            event(at, 'cut', 'links are whole again', null);
    } else if (kind === KIND.PHASE) {
        phases.push({at, text: word('phase', valueOf(i, 0)), record: i});
        event(at, 'fault', word('phase', valueOf(i, 0)), null);
    } else if (kind === KIND.VIOLATION) {
        violations.push({at, text: head.texts[valueOf(i, 0)], record: i});
        event(at, 'violation', head.texts[valueOf(i, 0)], null);
    }
}

// A belief in a path's lock lasts until the next word of that path.
function readHold(lane, i) {
    const at = store.at[i], path = valueOf(i, 0), mode = valueOf(i, 1), name = word('path', path);
    const last = lane.holds.findLast((hold) => hold.path === path);
    if (last !== undefined && last.to === Infinity)
        last.to = at;
    if (mode === 0) {
        event(at, 'lock', lane.name + ' believes no more in the lock of ' + name, lane);
        return;
    }
    const text = name + ' ' + word('lock', mode) + ', generation ' + valueOf(i, 2);
    lane.holds.push({at, to: Infinity, path, mode, text, record: i});
    event(at, 'lock', lane.name + ' believes that it holds ' + text, lane);
}

function readLane(lane, i) {
    const at = store.at[i], kind = store.kind[i], who = lane.name;
    if (kind === KIND.START) {
        event(at, 'start', who + ' starts (its start ' + valueOf(i, 0) + ', term ' + valueOf(i, 1) + ')', lane);
        lane.marks.push({at, text: 'start', record: i});
    } else if (kind === KIND.DOWN) {
        state(lane, at, {down: true, record: i});
        event(at, 'crash', who + ' goes down', lane);
        lane.marks.push({at, text: 'down', bad: true, record: i});
    } else if (kind === KIND.ROLE)
        readRole(lane, i);
    else if (kind === KIND.VOTED) {
        const term = valueOf(i, 0), whom = valueOf(i, 1);
        lane.votes.push({at, term, whom, record: i});
        termOf(term).votes.set(lane.endpoint, {whom, at});
    } else if (kind === KIND.PAUSE || kind === KIND.SLEEP) {
        if (store.until[i] <= at)
            return;
        lane.pauses.push({at, to: Math.min(store.until[i], head.end), record: i});
        event(at, 'pause', who + (kind === KIND.PAUSE ? ' stands still for ' : ' sleeps for ') +
            duration(store.until[i] - at), lane, store.until[i]);
    } else if (kind === KIND.HANDOVER) {
        const text = 'hands over to ' + (valueOf(i, 1) || 'whoever is fit') + ': ' + word('handover', valueOf(i, 0));
        lane.marks.push({at, text, record: i});
        event(at, 'handover', who + ' ' + text, lane);
    } else if (kind === KIND.NOTE) {
        lane.marks.push({at, text: head.texts[valueOf(i, 0)], bad: true, record: i});
        event(at, 'fault', who + ': ' + head.texts[valueOf(i, 0)], lane);
    } else if (kind === KIND.CONFIG) {
        configs.push({at, index: valueOf(i, 0), voters: valueOf(i, 1) & 255});
        lane.marks.push({at, text: 'members ' + word('members2', valueOf(i, 1)), record: i});
        event(at, 'members', who + ' has members ' + word('members2', valueOf(i, 1)) + ', learners ' +
            members(valueOf(i, 2)), lane);
    } else if (kind === KIND.INSTALL) {
        lane.marks.push({at, text: 'checkpoint installed', record: i});
        event(at, 'members', who + ' takes over a peer\u2019s checkpoint', lane);
    } else if (kind === KIND.TORN) {
        const text = 'write ' + (valueOf(i, 0) === 0 ? 'lost' : 'torn: ' + valueOf(i, 0) + ' of ' + valueOf(i, 1) +
            ' sectors');
        lane.marks.push({at, text, bad: true, record: i});
        event(at, 'fault', who + ': ' + text, lane);
    } else if (kind === KIND.HOLDS)
        readHold(lane, i);
    else if (kind === KIND.LIFE || kind === KIND.SESSION || kind === KIND.SESSION_END) {
        const text = kind === KIND.LIFE ? 'begins life ' + valueOf(i, 0) : kind === KIND.SESSION_END
            ? 'session ' + valueOf(i, 0) + ' ended' : (valueOf(i, 2) ? 'resumes' : 'opens') + ' session ' + valueOf(i, 0);
        lane.marks.push({at, text, record: i});
        event(at, 'client', who + ' ' + text, lane);
    }
}

// Votes that were asked for and refused, by the packets.
function readVotes() {
    const list = GROUPS.find((g) => g.name === 'vote').list;
    for (const i of list) {
        if (store.kind[i] === KIND.VOTE) {
            campaign(valueOf(i, 0), store.from[i], store.at[i]);
            const asked = termOf(valueOf(i, 0)).asked;
            if (!asked.has(store.from[i]))
                asked.set(store.from[i], store.at[i]);
        } else if (store.kind[i] !== KIND.VOTE_REPLY || !terms.has(valueOf(i, 0)))
            continue;
        else if (valueOf(i, 1) !== 0) {
            if (store.fate[i] === FATE.ARRIVED || store.fate[i] === FATE.DUPLICATE)
                termOf(valueOf(i, 0)).heard.add(store.to[i] * 16 + store.from[i]);
        } else
            termOf(valueOf(i, 0)).refused.push({by: store.from[i], to: store.to[i], at: store.at[i], record: i});
    }
}

// How many voted when a term began: those of the newest configuration that anybody had by then.
function voters(t) {
    let newest = -1, count = head.nodes;
    for (const c of configs)
        if (c.at <= t.at && c.index > newest) {
            newest = c.index;
            count = members(c.voters).split(', ').length;
        }
    return count;
}
const quorum = (t) => Math.floor(voters(t) / 2) + 1;

// Who has whose votes: [[candidate, [voters], [voters whose word did not reach it]], ...]
function tally(t) {
    const out = [];
    for (const id of t.candidates.keys()) {
        const cast = [...t.votes].filter(([, vote]) => vote.whom === id).map(([voter]) => voter).sort();
        // outside the window that was recorded nothing is known of messages
        const known = (voter) => t.votes.get(voter).at >= head.from && t.votes.get(voter).at <= head.to;
        const heard = (voter) => voter === id || !known(voter) || t.heard.has(id * 16 + voter);
        out.push([id, cast.filter(heard), cast.filter((voter) => !heard(voter))]);
    }
    return out.sort((a, b) => a[0] - b[0]);
}

function votesText([id, by, unheard]) {
    return id + ' has ' + (by.length > 0 ? 'the vote' + (by.length > 1 ? 's' : '') + ' of ' + by.join(', ') : 'no vote') +
        (unheard.length > 0 ? ' (that of ' + unheard.join(', ') + ' never reached it)' : '');
}

function verdict(t) {
    if (t.winner !== 0)
        return 'won';
    return t.candidates.size > 1 ? 'split vote' : 'nobody wins';
}

function termText(t) {
    const votes = tally(t).map(votesText).join('; ');
    const what = t.winner !== 0 ? 'replica ' + t.winner + ' wins' + t.more.map((id) => ', and so does ' + id).join('')
        : verdict(t);
    return 'term ' + t.term + ': ' + what + ' \u2013 ' + votes + (t.winner === 0 ? '; ' + quorum(t) + ' needed' : '');
}

// An election lasts from its first campaign until it is won, or until a campaign in a later term begins.
function settle() {
    const list = [...terms.values()].filter((t) => t.candidates.size > 0).sort((a, b) => a.at - b.at);
    list.forEach((t, n) => {
        const later = list.slice(n + 1).find((other) => other.term > t.term);
        if (t.winner !== 0)
            t.to = t.won;
        else
            t.to = Math.min(later ? later.at : head.end, Math.max(t.to, t.at + 300e6));
        t.story = termText(t);
        event(t.at, verdict(t) === 'split vote' ? 'split vote' : 'election', t.story, laneOf.get(t.winner) || null, t.to);
        events[events.length - 1].term = t;
    });
    return list;
}

for (const i of marks) {
    const lane = laneOf.get(store.from[i]);
    if (lane !== undefined)
        readLane(lane, i);
    else
        readWorld(i);
}
readVotes();
for (const span of [...cuts, ...lanes.flatMap((lane) => lane.holds)])
    span.to = Math.min(span.to, head.end);
const elections = settle();
events.sort((a, b) => a.at - b.at);

// What happened in a term, line by line, for whoever reads a split vote for the first time.
function termStory(t) {
    const lines = [];
    for (const [id, at] of t.candidates)
        lines.push({at, text: 'replica ' + id + ' campaigns for term ' + t.term});
    for (const [id, at] of t.asked)
        lines.push({at, text: 'replica ' + id + ' asks for votes: its own is on its drive'});
    for (const [voter, vote] of t.votes)
        lines.push({at: vote.at, text: voter === vote.whom ? 'replica ' + voter + ' votes for itself'
            : 'replica ' + voter + ' votes for ' + vote.whom});
    const said = new Set(); // a candidate asks again; once is enough here
    for (const r of t.refused) {
        const voted = t.votes.has(r.by) && t.votes.get(r.by).at <= r.at;
        if (!said.has(r.by * 16 + r.to))
            lines.push({at: r.at, text: 'replica ' + r.by + ' refuses ' + r.to + (voted ? ': it has voted for ' +
                (t.votes.get(r.by).whom === r.by ? 'itself' : t.votes.get(r.by).whom) : ' its vote')});
        said.add(r.by * 16 + r.to);
    }
    lines.sort((a, b) => a.at - b.at);
    const end = t.winner !== 0 ? 'Replica ' + t.winner + ' leads term ' + t.term + '.' +
        t.more.map((id) => ' Replica ' + id + ' leads it, too: this must never be.').join('')
        : (t.candidates.size > 1 ? 'A split vote: ' : 'No election: ') + 'nobody has ' + quorum(t) + ' of ' + voters(t) +
          ' votes. The next timeout begins another term.';
    return {lines, end, tally: tally(t)};
}
