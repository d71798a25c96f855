//! A bitmap to draw on: rectangles, lines and words, with two dots for each point of a layout, for
//! screens and projectors that have as many.
//!
//! It knows nothing of charts. Drawing into memory cannot fail.

use crate::report::chart::palette::Rgb;
use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontStyle, IntoFont, RGBColor, TextStyle, register_font};
use std::sync::Once;

/// The size of a picture in points.
pub(super) const WIDTH: u32 = 1600;
/// Its height.
pub(super) const HEIGHT: u32 = 900;
/// Dots for each point, across and down.
pub(super) const FINER: u32 = 2;
/// Dots for each metre, so that programs show a picture in the size of its layout: 96 points an inch.
const DOTS_PER_METRE: u32 = 3780 * FINER;

const REGULAR: &[u8] = include_bytes!("../../../assets/Inter-Regular.otf");
const SEMI_BOLD: &[u8] = include_bytes!("../../../assets/Inter-SemiBold.otf");
const FONT: &str = "inter";

/// A rectangle in points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Frame {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f64 {
        self.bottom - self.top
    }
}

/// An upright edge in points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Edge {
    pub(super) at: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

/// On which side of its place a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Middle,
    Right,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lettering {
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) colour: Rgb,
    pub(super) align: Align,
}

/// The bitmap.
pub(super) struct Canvas<'a> {
    backend: BitMapBackend<'a>,
}

/// Draws a picture on white paper and returns it as a PNG file.
pub(super) fn png(draw: impl FnOnce(&mut Canvas<'_>)) -> Vec<u8> {
    register_fonts();
    let (width, height) = (WIDTH * FINER, HEIGHT * FINER);
    let mut pixels = vec![0xff; width as usize * height as usize * 3];
    {
        let mut canvas = Canvas {
            backend: BitMapBackend::with_buffer(&mut pixels, (width, height)),
        };
        draw(&mut canvas);
    }
    encode(&pixels, (width, height))
}

fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (style, bytes) in [(FontStyle::Normal, REGULAR), (FontStyle::Bold, SEMI_BOLD)] {
            assert!(
                register_font(FONT, style, bytes).is_ok(),
                "the fonts in assets are valid"
            );
        }
    });
}

fn encode(pixels: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // A tenth of the time of the usual way. Large even areas are as small without a filter.
    encoder.set_deflate_compression(png::DeflateCompression::Level(1));
    encoder.set_filter(png::Filter::NoFilter);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: DOTS_PER_METRE,
        yppu: DOTS_PER_METRE,
        unit: png::Unit::Meter,
    }));
    encoder
        .write_header()
        .and_then(|mut writer| {
            writer.write_image_data(pixels)?;
            writer.finish()
        })
        .expect("writing to memory does not fail");
    file
}

fn colour((r, g, b): Rgb) -> RGBColor {
    RGBColor(r, g, b)
}

/// Not `hypot`: it would need a newer glibc (2.35) than everything else here, and places on a picture are
/// neither huge nor tiny.
fn length(x: f64, y: f64) -> f64 {
    (x * x + y * y).sqrt()
}

fn fine(value: f64) -> i32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "places on a picture are small"
    )]
    let place = (value * f64::from(FINER)).round() as i32;
    place
}

const MEMORY: &str = "drawing into memory does not fail";

impl Canvas<'_> {
    /// A filled rectangle, at least one dot wide and high.
    pub(super) fn fill(&mut self, frame: Frame, paint: Rgb) {
        let (left, top) = (fine(frame.left), fine(frame.top));
        let (right, bottom) = (fine(frame.right), fine(frame.bottom));
        self.backend
            .draw_rect(
                (left, top),
                (right.max(left + 1), bottom.max(top + 1)),
                &colour(paint),
                true,
            )
            .expect(MEMORY);
    }

    /// A straight line with round ends.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), width: f64, paint: Rgb) {
        let half = width / 2.0;
        if from.0 == to.0 || from.1 == to.1 {
            let (across, along) = if from.0 == to.0 {
                (half, 0.0)
            } else {
                (0.0, half)
            };
            let frame = Frame {
                left: from.0.min(to.0) - across,
                right: from.0.max(to.0) + across,
                top: from.1.min(to.1) - along,
                bottom: from.1.max(to.1) + along,
            };
            self.fill(frame, paint);
            return;
        }
        let scale = f64::from(FINER);
        let (a, b) = (
            (from.0 * scale, from.1 * scale),
            (to.0 * scale, to.1 * scale),
        );
        self.capsule(a, b, half * scale, paint);
    }

    /// All dots nearer to a stretch than a radius; those at the edge by half. The polygons of
    /// the backend have whole corners, which makes thin and nearly level lines swell and shrink.
    fn capsule(&mut self, a: (f64, f64), b: (f64, f64), radius: f64, paint: Rgb) {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let squared = dx * dx + dy * dy;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "places on a picture are small"
        )]
        let bounds = |low: f64, high: f64| {
            let reach = radius + 1.0;
            ((low - reach).floor() as i32, (high + reach).ceil() as i32)
        };
        let (left, right) = bounds(a.0.min(b.0), a.0.max(b.0));
        let (top, bottom) = bounds(a.1.min(b.1), a.1.max(b.1));
        for row in top.max(0)..bottom {
            for column in left.max(0)..right {
                let (px, py) = (f64::from(column) + 0.5 - a.0, f64::from(row) + 0.5 - a.1);
                let along = ((px * dx + py * dy) / squared).clamp(0.0, 1.0);
                let distance = length(px - along * dx, py - along * dy);
                let alpha = (radius + 0.5 - distance).clamp(0.0, 1.0);
                if alpha > 0.0 {
                    let colour = colour(paint).mix(alpha).to_backend_color();
                    self.backend
                        .draw_pixel((column, row), colour)
                        .expect(MEMORY);
                }
            }
        }
    }

    /// A line through several points.
    pub(super) fn path(&mut self, points: &[(f64, f64)], width: f64, paint: Rgb) {
        for pair in points.windows(2) {
            self.line(pair[0], pair[1], width, paint);
        }
    }

    /// A broken line through several points.
    pub(super) fn dashes(&mut self, points: &[(f64, f64)], width: f64, paint: Rgb) {
        const DASH: f64 = 8.0;
        const GAP: f64 = 6.0;
        let mut walked = 0.0;
        for pair in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let length = length(x1 - x0, y1 - y0);
            let mut at = 0.0;
            while at < length {
                let phase = walked % (DASH + GAP);
                let drawn = phase < DASH;
                let left = if drawn {
                    DASH - phase
                } else {
                    DASH + GAP - phase
                };
                let step = left.min(length - at).max(1e-6);
                if drawn {
                    let place = |along: f64| {
                        let share = along / length;
                        (x0 + (x1 - x0) * share, y0 + (y1 - y0) * share)
                    };
                    self.line(place(at), place(at + step), width, paint);
                }
                at += step;
                walked += step;
            }
        }
    }

    /// A filled shape between two upright edges: each at its place, from top to bottom.
    pub(super) fn between(&mut self, left: Edge, right: Edge, paint: Rgb) {
        let paint = colour(paint);
        let (from, to) = (fine(left.at), fine(right.at));
        let dots = f64::from((to - from).max(1));
        for column in from..to.max(from + 1) {
            let share = (f64::from(column - from) + 0.5) / dots;
            let along = |a: f64, b: f64| fine(a + (b - a) * share);
            let (top, bottom) = (along(left.top, right.top), along(left.bottom, right.bottom));
            self.backend
                .draw_rect(
                    (column, top),
                    (column + 1, bottom.max(top + 1)),
                    &paint,
                    true,
                )
                .expect(MEMORY);
        }
    }

    /// A filled shape with four corners.
    pub(super) fn quad(&mut self, corners: [(f64, f64); 4], paint: Rgb) {
        let corners = corners.map(|(x, y)| (fine(x), fine(y)));
        self.backend
            .fill_polygon(corners, &colour(paint))
            .expect(MEMORY);
    }

    /// A line of text, the middle of its capitals at the given height.
    pub(super) fn text(&mut self, words: &str, at: (f64, f64), lettering: Lettering) {
        /// How far above its middle the backend puts the middle of capitals, in heights of a line.
        const RISE: f64 = 0.2;
        let words = printable(words);
        let style = style(lettering);
        let middle = at.1 + RISE * lettering.size;
        self.backend
            .draw_text(&words, &style, (fine(at.0), fine(middle)))
            .expect(MEMORY);
    }

    /// How wide a line of text is.
    pub(super) fn measure(&self, words: &str, lettering: Lettering) -> f64 {
        let (width, _) = self
            .backend
            .estimate_text_size(&printable(words), &style(lettering))
            .expect(MEMORY);
        f64::from(width) / f64::from(FINER)
    }

    /// The text, cut where it would be wider than this.
    pub(super) fn fitting(&self, words: &str, room: f64, lettering: Lettering) -> String {
        if self.measure(words, lettering) <= room {
            return words.to_owned();
        }
        let mut cut: String = words.to_owned();
        while cut.pop().is_some() {
            let shortened = format!("{}…", cut.trim_end());
            if self.measure(&shortened, lettering) <= room {
                return shortened;
            }
        }
        String::new()
    }
}

/// The fonts have no narrow no-break space, and nothing to show for control characters.
fn printable(words: &str) -> String {
    words
        .chars()
        .map(|c| match c {
            '\u{202f}' => '\u{a0}',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

fn style(lettering: Lettering) -> TextStyle<'static> {
    let horizontal = match lettering.align {
        Align::Left => HPos::Left,
        Align::Middle => HPos::Center,
        Align::Right => HPos::Right,
    };
    let weight = if lettering.bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    (FONT, lettering.size * f64::from(FINER), weight)
        .into_font()
        .color(&colour(lettering.colour))
        .pos(Pos::new(horizontal, VPos::Center))
}
