'use strict';
// The sections of the page, out of its data.

const data = JSON.parse(document.getElementById('data').textContent);
const main = document.getElementById('main');
const metricBy = Object.fromEntries(data.metrics.map(m => [m.key, m]));
const compares = data.schedulers.length > 1 || data.scenarios.length > 1;

function section(id, title, ...parts) {
  const s = el('section', {}, el('h2', {id}, title), ...parts);
  main.append(s);
  document.getElementById('contents').append(el('a', {href: '#' + id}, title));
  return s;
}

const dot = (label, labels) => el('span', {class: 'swatch', style: `background:${colourOf(label, labels)}`});

const sentence = text => text[0].toUpperCase() + text.slice(1) + '.';

function table(head, rows) {
  return el('div', {class: 'wide'}, el('table', {}, el('thead', {}, el('tr', {}, ...head)), el('tbody', {}, rows)));
}

// Overview: scenarios against schedulers, by one metric.

function measured(scenarios) {
  return data.metrics.filter(m => scenarios.some(sc => sc.rows.some(r => !r.baseline && r.metrics[m.key])));
}

function heat(e, row, metric) {
  let good;
  if (metric.unit === 'ratio' || metric.key === 'benefit' || metric.key === 'jain') {
    good = Math.max(0, Math.min(1, (e.median - .3) / .7));
  } else {
    const all = row.filter(Boolean).map(x => x.median), best = metric.lower_is_better ? Math.min(...all) : Math.max(...all);
    good = metric.lower_is_better ? (e.median ? best / e.median : 1) : (best ? e.median / best : 1);
    good = Math.max(0, (good - .3) / .7);
  }
  // From a warm tone by white to a cool one: no red against green.
  const mix = (a, b, t) => a.map((v, i) => Math.round(v + (b[i] - v) * t));
  const c = good < .5 ? mix([240, 178, 140], [250, 246, 240], good * 2) : mix([250, 246, 240], [150, 196, 226], good * 2 - 1);
  return `background:rgb(${c.join(',')})`;
}

function matrix(metric) {
  const head = [el('th', {}, 'scenario'), ...data.schedulers.map(s => el('th', {}, s))];
  const rows = data.scenarios.map(sc => {
    const found = data.schedulers.map(name => sc.rows.find(r => r.label === name && !r.baseline));
    const values = found.map(r => r && r.metrics[metric.key]);
    return el('tr', {}, el('td', {}, el('a', {href: '#' + sc.name}, sc.name)), values.map((e, i) => {
      if (!e) return el('td', {class: 'heat soft'}, '–');
      const best = metric.key === 'goodput' && found[i].rank === 1;
      const cell = el('td', {class: 'heat' + (best ? ' best' : ''), style: heat(e, values, metric)}, figure(e.median, metric.unit));
      return tipped(cell, `${sc.name}, ${data.schedulers[i]}\n${interval(e, metric)}` + (found[i].rank ? `\nrank ${found[i].rank} by goodput` : '') + (found[i].note ? '\n' + found[i].note : ''));
    }));
  });
  return table(head, rows);
}

function overview() {
  const choices = measured(data.scenarios);
  if (!choices.length) return;
  const place = el('div', {class: 'matrix'}), about = el('p', {class: 'soft'});
  const choose = i => {
    about.textContent = sentence(choices[i].about) + ' Medians; the tips have the intervals.' + (choices[i].key === 'goodput' ? ' Bold: none is better by more than 1 % and significantly.' : '');
    place.replaceChildren(matrix(choices[i]));
  };
  const first = Math.max(0, choices.findIndex(m => m.key === 'efficiency'));
  section('overview', 'Overview', chips(choices.map(m => m.title), first, choose), about, place, overall());
  choose(first);
}

function overall() {
  if (!data.overall || data.overall.length < 2 || data.overall.every(o => !o.of)) return null;
  const order = data.overall.filter(o => o.of).sort((a, b) => a.mean_rank - b.mean_rank);
  return el('div', {}, el('h3', {}, 'Ranks by goodput'),
    el('p', {class: 'soft'}, 'A rank is 1 more than the number of schedulers that are better by more than 1 % in the median and significantly (Mann-Whitney U, p < 0.05).'),
    table([el('th', {}, 'scheduler'), el('th', {}, 'first or tied'), el('th', {}, 'mean rank')],
      order.map(o => el('tr', {}, el('td', {}, dot(o.scheduler, data.schedulers), o.scheduler), el('td', {}, `${o.first} of ${o.of}`), el('td', {}, o.mean_rank.toFixed(2))))));
}

// Tables of settings: the benefit over the points of each class.

function points() {
  if (!data.classes) return;
  const scenarios = [...new Set(data.classes.map(c => c.scenario))];
  for (const name of scenarios) {
    const classes = data.classes.filter(c => c.scenario === name);
    const place = el('figure'), numbers = el('div');
    const s = section('points-' + name, `${name}: aggregation benefit over the points`,
      el('p', {class: 'soft'}, 'Share of points with at most this benefit: 1 is the sum of the links, 0 the best link alone, -1 nothing. The further right a line, the better.'),
      chips(classes.map(c => `${c.class} (${c.points})`), 0, i => choose(i)), place, numbers);
    const choose = i => {
      place.replaceChildren();
      cdf(place, classes[i].benefit, data.schedulers, {label: 'aggregation benefit', unit: '', by: 1, height: 340, share: 'of the points', low: Math.max(-1, Math.min(...classes[i].benefit.flatMap(b => b.values)))});
      numbers.replaceChildren(classTable(classes[i]));
    };
    choose(0);
    if (classes[0].worst) s.append(worst(classes[0]));
  }
}

function classTable(c) {
  const quantile = (values, p) => values[Math.max(0, Math.ceil(p * values.length) - 1)];
  const head = ['scheduler', '5 %', '25 %', 'median', '75 %', '95 %', 'not under the best link'].map(t => el('th', {}, t));
  return table(head, c.benefit.map((b, i) => el('tr', {}, el('td', {}, dot(b.label, data.schedulers), b.label),
    [.05, .25, .5, .75, .95].map(p => el('td', {}, digits(quantile(b.values, p)))), el('td', {}, (c.not_under_best[i] * 100).toFixed(1) + ' %'))));
}

function worst(c) {
  return el('div', {}, el('h3', {}, `The points with the least benefit of ${c.benefit[0].label}`),
    table([el('th', {}, 'point'), el('th', {}, 'benefit'), el('th', {class: 'text'}, 'links')],
      c.worst.map(p => el('tr', {}, el('td', {}, p.point), el('td', {}, digits(p.benefit)), el('td', {class: 'text'}, p.links.map(l => el('div', {}, `${l.name}: ${l.is}`)))))));
}

// One scenario.

function scenario(sc) {
  const s = section(sc.name, sc.name,
    el('p', {}, sc.about, el('span', {class: 'soft'}, ` (${sc.backend})`)),
    el('ul', {class: 'network'}, sc.network.map(l => el('li', {}, el('b', {}, l.name), ' ', l.is))));
  const pair = el('div', {class: 'pair'});
  s.append(figures(sc), pair);
  pair.append(whiskersOf(sc));
  if (sc.delays && sc.delays.length) {
    const place = el('div'), fig = el('figure', {}, el('h3', {}, 'Round-trip times of pings'), el('p', {class: 'soft'}, 'Beside the traffic, on the same way; all runs together.'), place);
    pair.append(fig);
    cdf(place, sc.delays, data.schedulers, {label: 'round-trip time', unit: 'ms', by: 1e3, height: 250, share: 'of the pings', clip: true});
  }
  if (sc.timelines && sc.timelines.length) s.append(timelines(sc));
  if (sc.expectations && sc.expectations.length) s.append(expectations(sc));
}

function figures(sc) {
  const shown = data.metrics.filter(m => sc.rows.some(r => r.metrics[m.key]));
  const ranked = sc.rows.some(r => r.rank);
  const head = [el('th', {}, ''), ...shown.map(m => tipped(el('th', {}, m.title), m.about)), ranked ? el('th', {}, 'rank') : null];
  return table(head, sc.rows.map(r => el('tr', {class: r.baseline ? 'baseline' : ''},
    el('td', {}, r.baseline ? null : dot(r.label, data.schedulers), r.label, r.note ? el('span', {class: 'low'}, ' ' + r.note) : null),
    shown.map(m => {
      const e = r.metrics[m.key];
      if (!e) return el('td', {class: 'soft'}, '–');
      return tipped(el('td', {class: m.key === 'goodput' && r.rank === 1 ? 'best' : ''}, figure(e.median, m.unit)), `${r.label}\n${interval(e, m)}`);
    }), ranked ? el('td', {}, r.rank ? String(r.rank) : '') : null)));
}

function whiskersOf(sc) {
  const choices = data.metrics.filter(m => sc.rows.some(r => r.metrics[m.key]));
  if (!choices.length) return el('p', {class: 'soft'}, 'Nothing was measured.');
  const first = Math.max(0, choices.findIndex(m => m.key === 'benefit'));
  const place = el('div'), about = el('p', {class: 'soft'});
  const choose = i => {
    about.textContent = sentence(choices[i].about);
    place.replaceChildren(whiskers(sc.rows, choices[i], r => colourOf(r.label, data.schedulers)));
  };
  const fig = el('figure', {}, el('h3', {}, 'Medians with their intervals'), chips(choices.map(m => m.title), first, choose), about, place);
  choose(first);
  return fig;
}

function timelines(sc) {
  const place = el('div');
  const fig = el('figure', {}, el('h3', {}, 'Goodput over time, by link'),
    el('p', {class: 'soft'}, 'Areas: what each link carries, outer packets, on top of each other. Line: what reaches the application. Drag to zoom, double click to go back. The first seed.'));
  const choose = i => {
    place.replaceChildren();
    timeline(place, sc.timelines[i], sc.events, 280);
  };
  fig.append(chips(sc.timelines.map(t => t.label), 0, choose), place);
  // It has to be in the page before it can be drawn.
  requestAnimationFrame(() => choose(0));
  return fig;
}

function expectations(sc) {
  const labels = sc.expectations[0].by.map(b => b.label);
  const head = [el('th', {}, 'expectation'), ...labels.map(l => el('th', {}, l))];
  return el('div', {}, el('h3', {}, 'Expectations'), table(head, sc.expectations.map(x => el('tr', {}, el('td', {class: 'text'}, el('code', {}, x.expr)), x.by.map(b => {
    const all = b.held === b.runs;
    const cell = el('td', {}, el('span', {class: all ? 'yes' : 'no'}, b.runs > 1 ? `${b.held}/${b.runs}` : all ? 'held' : 'failed'), labels.length < 3 && b.sides ? el('span', {class: 'low'}, ' ' + b.sides) : null);
    return b.sides ? tipped(cell, `${b.label}\n${b.sides}`) : cell;
  })))));
}

function failures() {
  if (!data.failures || !data.failures.length) return;
  section('failures', 'Runs with faults', table([el('th', {}, 'run'), el('th', {class: 'text'}, 'reason')],
    data.failures.map(f => el('tr', {}, el('td', {}, f.name), el('td', {class: 'text'}, f.value)))));
}

if (compares) overview();
points();
data.scenarios.forEach(scenario);
failures();
document.getElementById('contents').append(el('a', {href: '#environment'}, 'Environment'));
