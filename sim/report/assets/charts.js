'use strict';
// The charts: whiskers in SVG, lines by uPlot.

const lineColours = ['#0b62a4', '#d1600f', '#15803d', '#a13a8f', '#b58900', '#2aa1c0', '#6d4bb8', '#8c4a26', '#d13b5c', '#5f7d0e', '#4b5563', '#e58fb1', '#00695c', '#9aa5b1'];
const linkColours = ['#8fbbe0', '#f4b98a', '#a6d3ae', '#d3b1dc', '#ecd58c', '#a3d8e4', '#c5b8e8', '#d8b9a5'];

// colourOf is a scheduler's own colour everywhere; baselines are grey.
function colourOf(label, labels) {
  const i = labels.indexOf(label);
  if (i >= 0) return lineColours[i % lineColours.length];
  return label.startsWith('alone') ? '#6b7683' : label.startsWith('bare') ? '#b3bcc6' : '#111827';
}

// ticks are about n round values from low to high.
function ticks(low, high, n) {
  const span = high - low || 1;
  const raw = span / n;
  const power = Math.pow(10, Math.floor(Math.log10(raw)));
  const step = [1, 2, 2.5, 5, 10].map(f => f * power).find(s => s >= raw);
  const all = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) all.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  return all;
}

// whiskers draws the median of each row with its interval.
function whiskers(rows, metric, colour) {
  const shown = rows.filter(r => r.metrics[metric.key]);
  if (!shown.length) return el('p', {class: 'soft'}, 'Not measured here.');
  const values = shown.flatMap(r => [r.metrics[metric.key].low, r.metrics[metric.key].high]);
  const s = scaleOf(metric.unit, values);
  const one = metric.unit === 'ratio' || metric.key === 'benefit';
  let low = Math.min(0, ...values), high = Math.max(...values, one ? 1 : 0);
  if (high === low) high = low + 1;
  high += (high - low) * 0.03;
  if (low < 0) low -= (high - low) * 0.03;
  const width = 540, left = 132, right = 62, step = 24, height = shown.length * step + 34;
  const x = v => left + (v - low) / (high - low) * (width - left - right);
  const svg = el('svg', {viewBox: `0 0 ${width} ${height}`, width: '100%', style: `max-width:${width * 1.15}px`, role: 'img', 'aria-label': metric.title});
  for (const t of ticks(low * s.by, high * s.by, 5)) {
    const at = x(t / s.by);
    svg.append(el('line', {x1: at, x2: at, y1: 4, y2: height - 30, stroke: t === 0 ? '#9aa7b4' : '#e6ebf0'}));
    svg.append(el('text', {x: at, y: height - 14, 'text-anchor': 'middle', class: 'axis'}, String(+t.toPrecision(6))));
  }
  svg.append(el('text', {x: width - right + 8, y: height - 14, class: 'axis'}, s.unit));
  if (one) svg.append(el('line', {x1: x(1), x2: x(1), y1: 4, y2: height - 30, stroke: '#15803d', 'stroke-dasharray': '4 3'}));
  shown.forEach((r, i) => {
    const e = r.metrics[metric.key], y = 4 + step * i + step / 2, c = colour(r);
    svg.append(
      el('text', {x: left - 10, y: y + 4, 'text-anchor': 'end', 'font-weight': r.rank === 1 ? 700 : 400}, r.label),
      el('line', {x1: x(e.low), x2: x(e.high), y1: y, y2: y, stroke: c, 'stroke-width': 2.5, 'stroke-opacity': .55}),
      el('line', {x1: x(e.low), x2: x(e.low), y1: y - 5, y2: y + 5, stroke: c, 'stroke-width': 1.5}),
      el('line', {x1: x(e.high), x2: x(e.high), y1: y - 5, y2: y + 5, stroke: c, 'stroke-width': 1.5}),
      el('circle', {cx: x(e.median), cy: y, r: 4.5, fill: c}),
      el('text', {x: width - right + 8, y: y + 4, class: 'axis'}, digits(e.median * s.by)),
      tipped(el('rect', {class: 'hit', x: 0, y: y - step / 2, width, height: step}), r.label + '\n' + interval(e, metric)),
    );
  });
  return svg;
}

// plot makes a chart by uPlot that is as wide as the place it is put in.
function plot(place, height, options, data) {
  const width = () => Math.max(280, place.clientWidth);
  const chart = new uPlot({width: width(), height, ...options}, data, place);
  new ResizeObserver(() => { if (Math.abs(chart.width - width()) > 1) chart.setSize({width: width(), height}); }).observe(place);
  return chart;
}

// The axes of all line charts.
const axisLook = {stroke: '#5c6b7a', grid: {stroke: '#e9edf2', width: 1}, ticks: {stroke: '#e9edf2', width: 1}, font: '12px system-ui, sans-serif', labelFont: '12px system-ui, sans-serif', labelSize: 16, labelGap: 0};
const xAxis = label => ({...axisLook, label, size: 30});
const yAxis = label => ({...axisLook, label, size: 52});

// timeline draws what the links carry on top of each other, and the goodput.
function timeline(place, run, events, height) {
  const n = Math.max(run.goodput ? run.goodput.length : 0, ...run.links.map(l => l.values.length));
  const pad = values => Array.from({length: n}, (_, i) => values && i < values.length ? values[i] * 1e-6 : null);
  const times = Array.from({length: n}, (_, i) => i * run.bin);
  const stacks = [];
  run.links.forEach((l, k) => {
    const own = pad(l.values);
    stacks.push(own.map((v, i) => (v || 0) + (k ? stacks[k - 1][i] : 0)));
  });
  const series = [{label: 'time', value: (u, v) => v === null ? '' : v.toFixed(1) + ' s'}];
  const data = [times];
  // The highest stack is drawn first, those below it over it.
  for (let k = run.links.length - 1; k >= 0; k--) {
    const own = pad(run.links[k].values);
    series.push({
      label: run.links[k].name, fill: linkColours[k % linkColours.length], stroke: linkColours[k % linkColours.length], width: 1, points: {show: false},
      value: (u, v, s, i) => i === null || own[i] === null ? '–' : digits(own[i]) + ' Mbit/s',
    });
    data.push(stacks[k]);
  }
  if (run.goodput && run.goodput.length) {
    series.push({label: 'goodput', stroke: '#1d2733', width: 2, points: {show: false}, value: (u, v) => v === null ? '–' : digits(v) + ' Mbit/s'});
    data.push(pad(run.goodput));
  }
  plot(place, height, {
    scales: {x: {time: false}, y: {range: (u, low, high) => [0, (high || 1) * 1.06]}},
    axes: [xAxis('s'), yAxis('Mbit/s')],
    series, cursor: {drag: {x: true, y: false}},
    hooks: {draw: [u => markEvents(u, events)]},
  }, data);
}

// markEvents draws a line where something happens.
function markEvents(u, events) {
  const c = u.ctx;
  c.save();
  c.strokeStyle = '#b3261e';
  c.fillStyle = '#b3261e';
  c.setLineDash([5, 4]);
  c.textAlign = 'left';
  c.textBaseline = 'alphabetic';
  c.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  let row = 0;
  for (const e of events || []) {
    const x = u.valToPos(e.at, 'x', true);
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
    c.beginPath();
    c.moveTo(x, u.bbox.top);
    c.lineTo(x, u.bbox.top + u.bbox.height);
    c.stroke();
    c.fillText(e.what, x + 4 * devicePixelRatio, u.bbox.top + (12 + 13 * (row++ % 3)) * devicePixelRatio);
  }
  c.restore();
}

// shareUpTo is the share of ascending values that are at most x.
function shareUpTo(values, x) {
  let low = 0, high = values.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (values[mid] <= x) low = mid + 1; else high = mid;
  }
  return low / values.length;
}

// cdf draws the shares of samples up to each value. All samples are laid on one
// grid, so that the legend can tell the share of each at the pointer.
function cdf(place, samples, labels, options) {
  const all = samples.flatMap(s => s.values);
  let low = options.low === undefined ? Math.min(...all) : options.low, high = Math.max(...all);
  if (options.clip) {
    // The last percent of the worst would leave no room for all else.
    high = Math.max(...samples.map(s => s.values[Math.min(s.values.length - 1, Math.ceil(s.values.length * .99) - 1)]));
  }
  if (high <= low) high = low + (Math.abs(low) || 1) * .1;
  const grid = Array.from({length: 401}, (_, i) => low + (high - low) * i / 400);
  const data = [grid.map(v => v * options.by)];
  const series = [{label: options.label, value: (u, v) => v === null ? '' : digits(v) + ' ' + options.unit}];
  for (const s of samples) {
    data.push(grid.map(x => shareUpTo(s.values, x) * 100));
    series.push({label: s.label, stroke: colourOf(s.label, labels), width: 2, dash: labels.includes(s.label) ? undefined : s.label.startsWith('bare') ? [2, 3] : [6, 4], points: {show: false}, value: (u, v) => v === null ? '–' : v.toFixed(0) + ' %'});
  }
  plot(place, options.height, {
    scales: {x: {time: false}, y: {range: [0, 101]}},
    axes: [xAxis(options.label + (options.unit ? ', ' + options.unit : '')), {...yAxis(options.share), values: (u, all) => all.map(v => v + ' %')}],
    series, cursor: {drag: {x: true, y: false}, focus: {prox: 20}}, focus: {alpha: .25},
  }, data);
}
