//! The charts as PNG files, for slides and chats: what the HTML shows, on white paper.
//!
//! Every sheet says what was run, when and with which verdict, because pictures travel alone.

mod canvas;
mod card;
mod plot;

use crate::record::RunRecord;
use crate::report::Making;
use crate::report::chart::palette::Rgb;
use crate::report::chart::{Chart, Charts, Content, Size};
use crate::report::rows;
use crate::verdict::{Judgement, Verdict};
use canvas::{Align, Canvas, Frame, HEIGHT, Lettering, WIDTH};
use plot::plot;

pub(super) const PAPER: Rgb = (0xff, 0xff, 0xff);
pub(super) const INK: Rgb = (0x15, 0x18, 0x1c);
pub(super) const SOFT: Rgb = (0x54, 0x5d, 0x69);
pub(super) const LINE: Rgb = (0xdd, 0xe2, 0xe7);
pub(super) const GRID: Rgb = (0xe9, 0xed, 0xf1);
pub(super) const SHADE: Rgb = (0xee, 0xf1, 0xf4);
const PASS: Rgb = (0x0a, 0x6b, 0x4e);
const FAIL: Rgb = (0xb3, 0x26, 0x1e);
const INCONCLUSIVE: Rgb = (0x7d, 0x53, 0x00);
const WARNING: Rgb = (0xf2, 0xc2, 0x30);
const WARNING_INK: Rgb = (0x24, 0x1a, 0x00);

/// One picture: a heading and the charts that share it.
struct Sheet<'a> {
    name: &'a str,
    heading: &'a str,
    charts: Vec<&'a Chart>,
}

/// All charts as PNG files, by their names within the run's folder. A chart without any data is left to the
/// HTML report, which says why; the overview is always there.
pub(super) fn pngs<'a>(
    record: &'a RunRecord,
    judgement: &'a Judgement,
    charts: &'a Charts,
) -> Vec<(String, Making<'a>)> {
    let file = |name: &str| format!("charts/{name}.png");
    let card: Making<'a> =
        Box::new(|| canvas::png(|canvas| card::card(canvas, record, judgement, charts)));
    let sheets = sheets(charts).into_iter().map(|sheet| {
        let name = file(sheet.name);
        let make: Making<'a> =
            Box::new(move || canvas::png(|canvas| draw(canvas, &sheet, record, judgement)));
        (name, make)
    });
    std::iter::once((file(CARD), card)).chain(sheets).collect()
}

/// The file of the summary card.
const CARD: &str = "card";

/// A picture of charts that belong to no single run.
pub(super) fn trend(heading: &str, is_simulated: bool, charts: &[Chart]) -> Vec<u8> {
    canvas::png(|canvas| {
        let mut top = 0.0;
        if is_simulated {
            let text = "SIMULATED: some of these runs have telemetry that is made up.";
            top = banner(canvas, text, top);
        }
        let title = Lettering {
            size: 28.0,
            bold: true,
            colour: INK,
            align: Align::Left,
        };
        canvas.text(heading, (MARGIN, top + 48.0), title);
        let frame = Frame {
            left: MARGIN,
            right: f64::from(WIDTH) - MARGIN,
            top: top + 86.0,
            bottom: f64::from(HEIGHT) - 30.0,
        };
        stack(canvas, &charts.iter().collect::<Vec<_>>(), frame);
    })
}

const OVERVIEW: &str = "overview";

fn has_data(chart: &Chart) -> bool {
    !matches!(chart.content, Content::Absent(_))
}

fn sheets(charts: &Charts) -> Vec<Sheet<'_>> {
    let mut overview: Vec<&Chart> = charts.time.iter().take(2).collect();
    // The first lane of the GPUs is their utilisation, or why there is none.
    let gpu = charts.families.iter().filter(|family| family.name == "gpu");
    overview.extend(gpu.filter_map(|family| family.lanes.first()));
    let mut sheets = vec![Sheet {
        name: OVERVIEW,
        heading: "Overview",
        charts: overview,
    }];
    let single = charts.time.iter().chain([&charts.percentiles]);
    let single = single.chain(&charts.parts);
    sheets.extend(single.map(|chart| Sheet {
        name: &chart.name,
        heading: "",
        charts: vec![chart],
    }));
    sheets.extend(charts.families.iter().map(|family| Sheet {
        name: &family.name,
        heading: &family.title,
        charts: family.lanes.iter().collect(),
    }));
    sheets
        .retain(|sheet| sheet.name == OVERVIEW || sheet.charts.iter().any(|chart| has_data(chart)));
    sheets
}

const MARGIN: f64 = 44.0;
/// Room for the labels of the upright axis.
const LABELS: f64 = 96.0;

fn draw(canvas: &mut Canvas<'_>, sheet: &Sheet<'_>, record: &RunRecord, judgement: &Judgement) {
    let (width, height) = (f64::from(WIDTH), f64::from(HEIGHT));
    let mut top = banners(canvas, record);
    top = header(canvas, sheet, record, judgement, top);
    footer(canvas, record);
    let frame = Frame {
        left: MARGIN,
        right: width - MARGIN,
        top,
        bottom: height - 46.0,
    };
    stack(canvas, &sheet.charts, frame);
}

/// The strips that nobody may overlook. Returns where they end.
fn banners(canvas: &mut Canvas<'_>, record: &RunRecord) -> f64 {
    let mut texts = Vec::new();
    let simulated = rows::simulated(record);
    if !simulated.is_empty() {
        texts.push(format!(
            "SIMULATED: the values of {} are made up. This is no measurement of real hardware.",
            simulated.join(", ")
        ));
    }
    if let Some(reason) = rows::partial(record) {
        texts.push(format!("PARTIAL: {}", reason.replace('`', "")));
    }
    texts
        .iter()
        .fold(0.0, |top, text| banner(canvas, text, top))
}

/// One strip. Returns where it ends.
fn banner(canvas: &mut Canvas<'_>, text: &str, top: f64) -> f64 {
    let strip = Frame {
        left: 0.0,
        right: f64::from(WIDTH),
        top,
        bottom: top + 38.0,
    };
    canvas.fill(strip, WARNING);
    let lettering = Lettering {
        size: 20.0,
        bold: true,
        colour: WARNING_INK,
        align: Align::Middle,
    };
    let text = canvas.fitting(text, strip.width() - 2.0 * MARGIN, lettering);
    canvas.text(&text, (strip.width() / 2.0, top + 19.0), lettering);
    strip.bottom + 1.0
}

fn verdict_colour(verdict: Verdict) -> Rgb {
    match verdict {
        Verdict::Pass => PASS,
        Verdict::Fail => FAIL,
        Verdict::Inconclusive => INCONCLUSIVE,
    }
}

/// Scenario, heading, verdict, when. Returns where it ends.
fn header(
    canvas: &mut Canvas<'_>,
    sheet: &Sheet<'_>,
    record: &RunRecord,
    judgement: &Judgement,
    top: f64,
) -> f64 {
    let middle = top + 48.0;
    let verdict = judgement.verdict;
    let colour = verdict_colour(verdict);
    let label = Lettering {
        size: 24.0,
        bold: true,
        colour: PAPER,
        align: Align::Middle,
    };
    let tag_width = canvas.measure(verdict.as_str(), label) + 36.0;
    let tag = Frame {
        left: MARGIN,
        right: MARGIN + tag_width,
        top: middle - 20.0,
        bottom: middle + 20.0,
    };
    canvas.fill(tag, colour);
    canvas.text(
        verdict.as_str(),
        (tag.left + tag_width / 2.0, middle),
        label,
    );
    let when = format!("{}, {}", rows::started(record), rows::duration(record));
    let right = f64::from(WIDTH) - MARGIN;
    let small = Lettering {
        size: 19.0,
        bold: false,
        colour: SOFT,
        align: Align::Right,
    };
    canvas.text(&when, (right, middle), small);
    let title = Lettering {
        size: 28.0,
        bold: true,
        colour: INK,
        align: Align::Left,
    };
    let name = &record.header.scenario.name;
    let words = if sheet.heading.is_empty() {
        name.clone()
    } else {
        format!("{name}: {}", sheet.heading)
    };
    let room = right - canvas.measure(&when, small) - tag.right - 60.0;
    let words = canvas.fitting(&words, room, title);
    canvas.text(&words, (tag.right + 20.0, middle), title);
    middle + 38.0
}

fn footer(canvas: &mut Canvas<'_>, record: &RunRecord) {
    let mut words = format!(
        "bench {}   run {}   target {}",
        record.header.environment.bench_version,
        record.header.id,
        rows::target(record)
    );
    if let Some(commit) = rows::commit(record) {
        words.push_str("   commit ");
        words.push_str(&commit);
    }
    let lettering = Lettering {
        size: 16.0,
        bold: false,
        colour: SOFT,
        align: Align::Left,
    };
    let words = canvas.fitting(&words, f64::from(WIDTH) - 2.0 * MARGIN, lettering);
    canvas.text(&words, (MARGIN, f64::from(HEIGHT) - 22.0), lettering);
}

/// Draws charts one below the other, each with the room that its size asks for.
fn stack(canvas: &mut Canvas<'_>, charts: &[&Chart], frame: Frame) {
    let weight = |chart: &Chart| match (&chart.content, chart.size) {
        (Content::Absent(_), Size::Lane) => 0.6,
        (_, Size::Tall) => 2.4,
        (_, Size::Medium) => 1.6,
        (_, Size::Lane) => 1.0,
    };
    let total: f64 = charts.iter().map(|chart| weight(chart)).sum();
    let mut top = frame.top;
    let last = charts.iter().rposition(|chart| has_data(chart));
    for (index, chart) in charts.iter().enumerate() {
        let bottom = top + frame.height() * weight(chart) / total;
        // All share one axis: the last one that has data carries its labels.
        let shows_axis = last == Some(index);
        let own = Frame {
            left: frame.left,
            right: frame.right,
            top,
            bottom,
        };
        plot(canvas, chart, own, LABELS, shows_axis);
        top = bottom;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::Timeline;
    use crate::report::sample;
    use std::collections::BTreeSet;

    fn pixels(file: &[u8]) -> Vec<u8> {
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(file))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (2 * WIDTH, 2 * HEIGHT));
        assert_eq!(reader.info().pixel_dims.map(|dims| dims.xppu), Some(7560));
        assert_eq!(info.color_type, ::png::ColorType::Rgb);
        pixels
    }

    fn corner(pixels: &[u8]) -> Rgb {
        (pixels[0], pixels[1], pixels[2])
    }

    #[test]
    fn there_is_a_picture_of_everything_that_has_data() {
        let (record, judgement) = sample::without_gpu();
        let charts = Charts::of(record, judgement, &Timeline::of(record));
        let sheets = sheets(&charts);
        let names: Vec<&str> = sheets.iter().map(|sheet| sheet.name).collect();
        assert_eq!(
            names,
            [
                "overview",
                "rate",
                "response",
                "heatmap",
                "in-flight",
                "errors",
                "percentiles",
                "parts-1",
                "parts-2",
                "target",
                "host",
                "generator",
            ]
        );
    }

    #[test]
    fn a_picture_can_be_read_and_shows_something() {
        let (record, judgement) = sample::without_gpu();
        let charts = Charts::of(record, judgement, &Timeline::of(record));
        for sheet in sheets(&charts) {
            // One of each kind of content: lines and areas, cells, percentiles.
            if !["overview", "heatmap", "percentiles"].contains(&sheet.name) {
                continue;
            }
            let file = canvas::png(|canvas| draw(canvas, &sheet, record, judgement));
            let pixels = pixels(&file);
            let colours: BTreeSet<&[u8]> = pixels.chunks_exact(3).collect();
            assert!(
                colours.len() > 100,
                "{}: {} colours",
                sheet.name,
                colours.len()
            );
            assert_eq!(corner(&pixels), PAPER, "{}", sheet.name);
            assert!(file.len() < 400_000, "{}: {} bytes", sheet.name, file.len());
        }
    }

    #[test]
    fn what_is_simulated_says_so_and_twice_is_the_same() {
        let (record, judgement) = sample::prod();
        let charts = Charts::of(record, judgement, &Timeline::of(record));
        let overview = || {
            let sheets = sheets(&charts);
            canvas::png(|canvas| draw(canvas, &sheets[0], record, judgement))
        };
        let file = overview();
        assert_eq!(corner(&pixels(&file)), WARNING);
        assert!(file == overview());
    }

    #[test]
    fn without_load_there_are_card_and_overview_that_say_why() {
        let (record, judgement) = sample::preflight_failed();
        let charts = Charts::of(record, judgement, &Timeline::of(record));
        let files = pngs(record, judgement, &charts);
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["charts/card.png", "charts/overview.png"]);
        // The strip on top says that the run is not whole.
        for (_, make) in files {
            assert_eq!(corner(&pixels(&make())), WARNING);
        }
    }
}
