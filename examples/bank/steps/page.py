"""The look of the pages: one file, no script, nothing from elsewhere, light and dark."""

from html import escape

STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#15202b;--soft:#5b6876;--line:#e1e6eb;--grid:#edf0f3;
--one:#2563c4;--two:#d2571b;--three:#14866d;--guide:#9aa6b2;--ok:#14795f;--ok-bg:#e3f4ee;--warn:#9a5b00;--warn-bg:#fdf1dc;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--bg:#0e1319;--card:#161d26;--ink:#e6ebf1;--soft:#98a5b3;--line:#29323d;--grid:#222b35;
--one:#6ea5ff;--two:#ff9560;--three:#4dc8a7;--guide:#66727f;--ok:#63d3ae;--ok-bg:#12322a;--warn:#f0b860;--warn-bg:#352810;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:36px 24px 64px}
h1{font-size:27px;line-height:1.25;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:19px;margin:40px 0 4px}h3{font-size:15px;margin:0 0 2px}
p{margin:0 0 10px}.lead{color:var(--soft);max-width:76ch}
.soft,figcaption,.sub{color:var(--soft);font-size:13px}.sub{margin:0 0 8px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:22px 0 8px}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:14px 16px}.tile b{display:block;font-size:25px;line-height:1.2;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}
.cards{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:14px;margin-top:12px}
.card{padding:16px 18px;margin:0;min-width:0}.wide{grid-column:1/-1}
@media(max-width:760px){.cards{grid-template-columns:1fr}main{padding:24px 14px}}
svg{display:block;width:100%;height:auto;margin-top:6px}svg text{fill:var(--soft);font-size:11.5px;font-family:inherit}
svg .said{fill:var(--ink)}svg .label{font-size:12px}
.grid{stroke:var(--grid)}.axis{stroke:var(--guide)}.mark{stroke:var(--ink);stroke-dasharray:3 3;opacity:.7}
.line{fill:none;stroke-width:2.2;stroke-linejoin:round}.line.one{stroke:var(--one)}.line.two{stroke:var(--two)}
.line.guide{stroke:var(--guide);stroke-dasharray:4 4;stroke-width:1.4}
.area.one{fill:var(--one);opacity:.1}.dot{stroke:var(--card);stroke-width:1.5}
.bar.one,.dot.one{fill:var(--one)}.bar.two,.dot.two{fill:var(--two)}.bar.three{fill:var(--three)}
.keys{display:flex;flex-wrap:wrap;gap:4px 16px;margin-top:6px;font-size:13px;color:var(--soft)}
.key i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px;vertical-align:-1px}
.key .one{background:var(--one)}.key .two{background:var(--two)}.key .three{background:var(--three)}.key .guide{background:var(--guide)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--soft);font-weight:500;font-size:12.5px;border-bottom:1px solid var(--line);padding:6px 12px 6px 0;white-space:nowrap}
td{border-bottom:1px solid var(--grid);padding:6px 12px 6px 0;vertical-align:top}tr:last-child td{border-bottom:0}
.n{text-align:right}code{font:12.5px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.whole,td:first-child code{white-space:nowrap;overflow-wrap:normal}
.tag{display:inline-block;border-radius:99px;padding:1px 9px;font-size:12px;font-weight:600;white-space:nowrap}
.ok{color:var(--ok);background:var(--ok-bg)}.warn{color:var(--warn);background:var(--warn-bg)}
.note{border-left:3px solid var(--warn);background:var(--warn-bg);border-radius:0 8px 8px 0;padding:10px 14px;margin:18px 0 0;max-width:none}
.matrix{display:grid;grid-template-columns:auto 1fr 1fr;gap:8px;margin-top:12px;align-items:stretch;font-size:13px}
.matrix .head{color:var(--soft);align-self:center;text-align:center}.matrix .side{text-align:right;padding-right:4px;align-self:center;color:var(--soft)}
.cell{position:relative;border-radius:8px;border:1px solid var(--line);padding:16px 10px;text-align:center;overflow:hidden}
.cell i{position:absolute;inset:0;background:var(--one)}.cell.err i{background:var(--two)}
.cell b,.cell span{position:relative;display:block}.cell b{font-size:23px;line-height:1.2}.cell span{color:var(--soft);font-size:12.5px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:5px 16px;margin:8px 0 0;font-size:14px}dt{color:var(--soft)}dd{margin:0;min-width:0}
blockquote{margin:8px 0 0;padding:2px 0 2px 12px;border-left:3px solid var(--line)}
footer{margin-top:44px;color:var(--soft);font-size:13px}
"""


def page(title, body):
    """A whole page."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def tiles(pairs):
    """Figures, large: `(figure, what it is)`."""
    return '<div class="tiles">' + "".join(f'<div class="tile"><b>{escape(a)}</b><span>{escape(b)}</span></div>' for a, b in pairs) + "</div>"


def card(title, sub, content, wide=False):
    """A card; `content` is HTML."""
    return f'<section class="card{" wide" if wide else ""}"><h3>{escape(title)}</h3><p class="sub">{escape(sub)}</p>{content}</section>'


def table(heads, rows):
    """A table. A head that begins with `>` is a column of numbers; a cell that is a tuple is HTML."""
    head = "".join(f'<th class="n">{escape(h[1:])}</th>' if h.startswith(">") else f"<th>{escape(h)}</th>" for h in heads)
    cell = lambda value: value[0] if isinstance(value, tuple) else escape(str(value))  # noqa: E731
    body = "".join(
        "<tr>" + "".join(f'<td{" class=n" if h.startswith(">") else ""}>{cell(v)}</td>' for h, v in zip(heads, row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def tag(text, good=True):
    return f'<span class="tag {"ok" if good else "warn"}">{escape(text)}</span>'


def code(text):
    return f"<code>{escape(text)}</code>"


def facts(pairs):
    """A list of facts; the second of each pair is HTML."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in pairs) + "</dl>"


def matrix(counts):
    """What became of the applications at the threshold."""
    total = max(sum(counts.values()), 1)

    def cell(key, says, error):
        share = counts[key] / total
        return (
            f'<div class="cell{" err" if error else ""}"><i style="opacity:{0.06 + 0.34 * share:.2f}"></i>'
            f"<b>{counts[key]}</b><span>{says}, {share:.0%}</span></div>"
        )

    return (
        '<div class="matrix"><span></span><span class="head">flagged</span><span class="head">passed</span>'
        f'<span class="side">bad<br>outcome</span>{cell("caught", "caught", False)}{cell("missed", "missed", True)}'
        f'<span class="side">good<br>outcome</span>{cell("alarms", "false alarms", True)}{cell("passed", "rightly passed", False)}</div>'
    )
