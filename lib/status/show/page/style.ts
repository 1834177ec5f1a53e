import { type Html, html } from './html.ts'

/** The page's only style; it uses no file, font or script. Colours are set for light and for dark. */
export const style: Html = html`
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #1b1f24; --soft: #57606a; --line: #d5dae0;
  --good: #17692e; --good-back: #e2f5e6; --bad: #b3202b; --bad-back: #fdeaea; --look: #7d5300; --look-back: #fdf3d3;
  --cool: #0b5cad; --none: #e8ebef; --run: #a9cdb2; --made: #1f8a3f;
  --area-1: #2f6fc4; --area-2: #d1772a; --area-3: #3f9460; --area-4: #8b5fbf;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e1216; --card: #171c22; --text: #e4e9ee; --soft: #9fabb8; --line: #303942;
    --good: #64d27e; --good-back: #12301b; --bad: #ff8a84; --bad-back: #3b1719; --look: #e5b94f; --look-back: #35290d;
    --cool: #78b4f5; --none: #262d35; --run: #2f5a3c; --made: #4cc26a;
    --area-1: #5b97e6; --area-2: #e0924d; --area-3: #5cb57f; --area-4: #a983d8;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
header, main, footer { max-width: 76rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1rem; font-weight: 600; margin: 0; color: var(--soft); }
h2 { font-size: 1.15rem; margin: 0 0 .75rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
p { margin: 0 0 .5rem; }
a { color: var(--cool); }
code { font: .875em/1.4 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
code span { display: inline-block; max-width: 100%; }
small, .soft { color: var(--soft); font-size: .875rem; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--card); padding: .5rem 1rem; z-index: 3; }
:focus-visible { outline: 3px solid var(--cool); outline-offset: 2px; border-radius: 4px; }
header { padding-top: 1.25rem; }
.verdict { font-size: clamp(1.4rem, 5vw, 2.1rem); line-height: 1.2; font-weight: 700; margin: .25rem 0 .5rem; }
.verdict.good { color: var(--good); } .verdict.bad { color: var(--bad); } .verdict.look { color: var(--look); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; margin: .75rem 0 1.25rem; padding: 0; }
nav a { display: inline-block; padding: .25rem 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem; margin: 0 0 1.1rem; }
.finding { border-left: 4px solid var(--line); padding: .15rem 0 .15rem .8rem; margin: 0 0 .9rem; }
.finding:last-child { margin-bottom: 0; }
.finding.bad { border-color: var(--bad); } .finding.look { border-color: var(--look); }
.finding p { margin: .15rem 0 0; overflow-wrap: anywhere; }
.badge { display: inline-block; border-radius: 5px; padding: 0 .45rem; font-size: .8125rem; font-weight: 600; white-space: nowrap; }
.badge.good { background: var(--good-back); color: var(--good); }
.badge.bad { background: var(--bad-back); color: var(--bad); }
.badge.look { background: var(--look-back); color: var(--look); }
.badge.none { background: var(--none); color: var(--text); }
.growth td { white-space: nowrap; }
.scroll { position: relative; overflow-x: auto; margin: 0 -1.1rem; padding: 0 1.1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .4rem .9rem .4rem 0; border-top: 1px solid var(--line); }
thead th { border-top: 0; font-size: .875rem; color: var(--soft); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 500; }
time { white-space: nowrap; }
td small { display: block; white-space: nowrap; }
.wide tbody th, .wide thead th:first-child { position: sticky; left: 0; background: var(--card); z-index: 1; }
.wide tbody th { white-space: nowrap; }
.checks { list-style: none; margin: 0; padding: 0; display: grid; gap: .4rem; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); }
.checks li { display: grid; grid-template-columns: 4.2rem 1fr; align-items: baseline; gap: .5rem; }
.checks .badge { justify-self: start; }
.calendar th { width: 8.5rem; font-size: .8125rem; padding: .15rem .5rem .15rem 0; border: 0; font-weight: 400; overflow-wrap: anywhere; }
.calendar td { padding: .15rem 0; border: 0; }
.calendar svg { display: block; width: 100%; height: 1.05rem; }
.calendar .ends { display: flex; justify-content: space-between; color: var(--soft); font-size: .8125rem; }
.made { fill: var(--made); } .many { fill: var(--good); } .run { fill: var(--run); } .idle { fill: var(--none); } .failed, .missed { fill: var(--bad); }
.key { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; font-size: .875rem; color: var(--soft); margin: 0 0 .5rem; padding: 0; list-style: none; }
.key svg { width: .8rem; height: .8rem; vertical-align: -.05rem; margin-right: .4rem; }
.plot { display: grid; grid-template-columns: auto 1fr; grid-template-rows: 13rem auto; gap: .35rem .6rem; margin: .5rem 0 1rem; }
.plot .ticks { position: relative; width: 4.2rem; font-size: .8125rem; color: var(--soft); }
.plot .ticks span { position: absolute; right: 0; transform: translateY(50%); white-space: nowrap; }
.plot svg { width: 100%; height: 100%; border-bottom: 1px solid var(--line); }
.plot .dates { grid-column: 2; display: flex; justify-content: space-between; font-size: .8125rem; color: var(--soft); }
.grid { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; }
.area-1 { fill: var(--area-1); } .area-2 { fill: var(--area-2); } .area-3 { fill: var(--area-3); } .area-4 { fill: var(--area-4); }
.bar { background: var(--none); border-radius: 6px; height: .65rem; overflow: hidden; margin: .3rem 0; }
.bar span { display: block; height: 100%; background: var(--cool); }
.marks svg { width: .5rem; height: 1rem; vertical-align: -.15rem; }
details { margin: .5rem 0 0; } .more { display: none; } summary { cursor: pointer; color: var(--cool); padding: .2rem 0; }
details ul { margin: .25rem 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
.columns { display: grid; gap: 0 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
footer { padding-bottom: 2rem; }
@media (max-width: 40rem) {
  section { padding: .9rem; } .scroll { margin: 0 -.9rem; padding: 0 .9rem; }
  .calendar th { width: 6.4rem; font-size: .75rem; }
  .growth th, .growth td { padding-right: .5rem; font-size: .875rem; white-space: normal; } .growth .key > span { white-space: nowrap; }
  .cards, .cards tbody, .cards tr, .cards tbody th, .cards td { display: block; }
  .cards thead { position: absolute; clip-path: inset(50%); }
  .cards tr { border-top: 1px solid var(--line); padding: .45rem 0; }
  .cards tbody th, .cards td { border: 0; padding: .1rem 0; }
  .cards tbody th { font-weight: 600; position: static; }
  .cards td:first-child, .cards td:first-child + td { display: inline-block; padding-right: .7rem; }
  .cards td[data-name] { padding-left: 7.2rem; }
  .cards td[data-name]::before { content: attr(data-name); display: inline-block; width: 7.2rem; margin-left: -7.2rem; font-size: .875rem; color: var(--soft); }
  .cards td.none, .wide td small { display: none; }
  .more { display: block; margin: 0 0 .5rem; }
  .more[open] + .scroll small { display: block; white-space: normal; }
}
@media print { nav, .skip { display: none; } section { break-inside: avoid; } }
`
