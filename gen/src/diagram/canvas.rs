//! An SVG picture being drawn. Lines are below everything else, so that they end at the edges of boxes, and the
//! dots where they end are on top.

use std::fmt::Write;

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// Left edge.
    pub x: usize,
    /// Upper edge.
    pub y: usize,
    /// Width.
    pub w: usize,
    /// Height.
    pub h: usize,
}

impl Rect {
    /// The x coordinate right of it.
    pub fn right(&self) -> usize {
        self.x + self.w
    }

    /// The y coordinate below it.
    pub fn bottom(&self) -> usize {
        self.y + self.h
    }
}

/// Size of all text but titles, in pixels.
pub const FONT: usize = 12;
/// Height of a line of text.
pub const LINE: usize = 17;

/// Width of text of the normal size. The font has a fixed pitch of 0.602 em at most in all that are asked for.
pub fn width(text: &str) -> usize {
    (text.chars().count() * FONT * 61).div_ceil(100)
}

/// The text, cut so that it fits.
pub fn fit(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut short: String = text.chars().take((room * 100 / (FONT * 61)).saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The text as XML has it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What was drawn.
#[derive(Debug, Default)]
pub struct Canvas {
    lines: String,
    boxes: String,
    dots: String,
    /// Boxes that must not overlap, and texts with the box they must stay in, for tests.
    #[cfg(test)]
    pub placed: Vec<Rect>,
    #[cfg(test)]
    pub texts: Vec<Rect>,
    right: usize,
    bottom: usize,
}

impl Canvas {
    /// A line.
    pub fn line(&mut self, (x1, y1): (usize, usize), (x2, y2): (usize, usize), color: &str) {
        writeln!(self.lines, r#"<path d="M{x1} {y1}L{x2} {y2}" stroke="{color}"/>"#)
            .expect("writing to a String cannot fail");
    }

    /// A dot where lines meet.
    pub fn dot(&mut self, (x, y): (usize, usize), color: &str) {
        writeln!(self.dots, r#"<circle cx="{x}" cy="{y}" r="3.5" fill="{color}"/>"#)
            .expect("writing to a String cannot fail");
    }

    /// A box of its own, which overlaps no other one.
    pub fn place(&mut self, rect: Rect, fill: &str, stroke: &str) {
        #[cfg(test)]
        self.placed.push(rect);
        self.plain(rect, 6, fill, stroke);
    }

    /// A box inside another one.
    pub fn plain(&mut self, rect: Rect, radius: usize, fill: &str, stroke: &str) {
        self.right = self.right.max(rect.right());
        self.bottom = self.bottom.max(rect.bottom());
        let Rect { x, y, w, h } = rect;
        writeln!(
            self.boxes,
            r#"<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{radius}" fill="{fill}" stroke="{stroke}"/>"#
        )
        .expect("writing to a String cannot fail");
    }

    /// Text whose line box starts at a place. `class` is one of the style sheet's.
    pub fn text(&mut self, (x, y): (usize, usize), class: &str, text: &str) {
        #[cfg(test)]
        if class != "title" {
            self.texts.push(Rect { x, y, w: width(text), h: LINE });
        }
        let class = if class.is_empty() { String::new() } else { format!(r#" class="{class}""#) };
        let (y, text) = (y + FONT, escape(text));
        writeln!(self.boxes, r#"<text x="{x}" y="{y}"{class}>{text}</text>"#)
            .expect("writing to a String cannot fail");
    }

    /// A small filled box with a word; returns its width.
    pub fn chip(&mut self, (x, y): (usize, usize), fill: &str, text: &str) -> usize {
        let rect = Rect { x, y, w: chip_width(text), h: CHIP };
        self.plain(rect, CHIP / 2, fill, "none");
        self.text((x + 8, y + 2), "chip", text);
        rect.w
    }

    /// The picture.
    pub fn finish(self, description: &str) -> String {
        let (w, h) = (self.right + 24, self.bottom + 24);
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img">
<title>{title}</title>
<style>
text {{ font: {FONT}px "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2933; }}
.title {{ font-size: 20px; font-weight: bold; }}
.name {{ font-weight: bold; }}
.quiet {{ fill: #616e7c; }}
.chip {{ fill: #ffffff; }}
</style>
<rect width="{w}" height="{h}" fill="#ffffff"/>
<g fill="none" stroke-width="2">
{lines}</g>
{boxes}{dots}</svg>
"##,
            title = escape(description),
            lines = self.lines,
            boxes = self.boxes,
            dots = self.dots
        )
    }
}

/// Height of a chip.
pub const CHIP: usize = 20;

/// Width of a chip.
pub fn chip_width(text: &str) -> usize {
    width(text) + 16
}
