// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace label_audit {

/// The style sheet of the HTML report: no font, picture or script from elsewhere, light and dark by the reader's
/// system.
inline constexpr std::string_view report_style = R"css(
:root{--page:#f6f7f9;--card:#fff;--ink:#16191d;--soft:#5c6673;--line:#e3e7ec;--heat:#d9480f;--on-heat:#fff;
--cool:#1c6dd0;--good:#2b8a3e;--chip:#eef1f5;--shadow:0 1px 2px rgba(16,24,40,.06)}
@media (prefers-color-scheme:dark){:root{--page:#0f1216;--card:#171b21;--ink:#e8ebef;--soft:#98a2af;--line:#2a313a;
--heat:#ff9f5a;--on-heat:#1b1206;--cool:#6cb0ff;--good:#69db7c;--chip:#222932;--shadow:none}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Noto Sans",sans-serif}
main{max-width:1120px;margin:0 auto;padding:40px 20px 56px}
h1{font-size:27px;line-height:1.2;margin:0 0 6px;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{font-size:16px;margin:0 0 2px;letter-spacing:-.005em}
p{margin:0 0 12px;max-width:82ch}
.soft,header p{color:var(--soft)}
.chips{display:flex;flex-wrap:wrap;gap:6px;margin:12px 0 22px}
.chip{background:var(--chip);border-radius:999px;padding:2px 11px;font-size:13px;color:var(--soft)}
.chip b{color:var(--ink);font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(158px,1fr));gap:12px;margin-bottom:16px}
.card,.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;box-shadow:var(--shadow)}
.tile{padding:13px 16px}
.tile b{display:block;font-size:25px;line-height:1.25;font-weight:650;letter-spacing:-.02em;
font-variant-numeric:tabular-nums}
.tile span{display:block;color:var(--soft);font-size:13px;line-height:1.35}
.tile.main b{color:var(--heat)}
.card{padding:20px 22px;margin-bottom:16px;min-width:0}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:16px}
.scroll{overflow-x:auto}
svg{display:block;max-width:100%;height:auto}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--ink);
font-variant-numeric:tabular-nums}
svg .soft{fill:var(--soft)}
svg .mid{text-anchor:middle}
svg .end{text-anchor:end}
svg .hot{fill:var(--on-heat)}
svg .small{font-size:11px}
.cell{fill:var(--heat);stroke:none}
.none{fill:var(--ink);fill-opacity:.035}
.diagonal{fill:var(--cool);fill-opacity:.14}
.bar-heat{fill:var(--heat)}
.bar-cool{fill:var(--cool)}
.track{fill:var(--ink);fill-opacity:.05}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(96px,1fr));gap:10px;margin:14px 0 0}
figure{margin:0;border:1px solid var(--line);border-radius:10px;padding:8px 8px 6px;text-align:center}
figure svg{width:72px;height:72px;margin:0 auto 4px;fill:var(--ink)}
figure.found{border-color:var(--good);box-shadow:inset 0 0 0 1px var(--good)}
figcaption{font-size:12px;line-height:1.35;color:var(--soft);font-variant-numeric:tabular-nums}
figcaption b{display:block;font-size:15px;color:var(--ink)}
.to{color:var(--heat)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px;margin-top:10px}
th{color:var(--soft);font-weight:500;font-size:12.5px;text-align:left;white-space:nowrap}
th,td{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:middle}
tr:last-child td{border-bottom:0}
td.name{overflow-wrap:anywhere}
.num{text-align:right;white-space:nowrap}
td .meter{display:block;width:120px;height:8px;border-radius:4px;background:var(--chip);overflow:hidden}
td .meter i{display:block;height:100%;background:var(--heat);border-radius:4px}
td .meter.cool i{background:var(--cool)}
td svg.tiny{width:26px;height:26px;fill:var(--ink)}
.yes{color:var(--good);font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;margin:10px 0 0;font-size:14px}
dt{font-weight:600}
dd{margin:0;color:var(--soft)}
footer{color:var(--soft);font-size:13px;margin-top:20px}
@media (max-width:560px){dl{grid-template-columns:1fr}dd{margin-bottom:6px}main{padding-top:24px}}
@media print{body{background:#fff}.card,.tile,figure{break-inside:avoid}}
)css";

}  // namespace label_audit
