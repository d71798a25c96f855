//! The colours of charts, the same in HTML and PNG.
//!
//! Told apart by people with any kind of colour vision: hues from Okabe and Ito (2008), and where an
//! order is meant, lightness says it too. No colour carries a meaning that words do not.

/// A red, green and blue value.
pub(crate) type Rgb = (u8, u8, u8);

/// What a colour stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Requests that succeeded.
    Ok,
    /// Requests that failed.
    Failed,
    /// Requests that timed out or never ended.
    TimedOut,
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The 99th percentile, which most gates look at.
    P99,
    /// The 99.9th percentile.
    P999,
    /// The largest value.
    Maximum,
    /// One of several of a kind: a GPU, a phase, a kind of error.
    Nth(usize),
}

/// How many colours [`Colour::Nth`] has before they begin again.
pub(crate) const NTH: usize = 8;

impl Colour {
    /// Every colour once.
    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [
            Self::Ok,
            Self::Failed,
            Self::TimedOut,
            Self::P50,
            Self::P90,
            Self::P99,
            Self::P999,
            Self::Maximum,
        ]
        .into_iter()
        .chain((0..NTH).map(Self::Nth))
    }

    /// The name of its variable in the style sheet, which knows a light and a dark value for it.
    pub(crate) fn variable(self) -> String {
        match self {
            Self::Ok => "--ok".to_owned(),
            Self::Failed => "--failed".to_owned(),
            Self::TimedOut => "--timed-out".to_owned(),
            Self::P50 => "--p50".to_owned(),
            Self::P90 => "--p90".to_owned(),
            Self::P99 => "--p99".to_owned(),
            Self::P999 => "--p999".to_owned(),
            Self::Maximum => "--maximum".to_owned(),
            Self::Nth(index) => format!("--nth{}", index % NTH),
        }
    }

    /// Its value on white paper.
    pub(crate) fn rgb(self) -> Rgb {
        match self {
            Self::Ok => (0x2f, 0x6f, 0xb0),
            Self::Failed => (0xc9, 0x4a, 0x12),
            Self::TimedOut => (0xbf, 0x87, 0x00),
            Self::P50 => (0x5b, 0x9b, 0xd5),
            Self::P90 => (0x2a, 0x72, 0xb5),
            Self::P99 => (0x0a, 0x2f, 0x5c),
            Self::P999 => (0xc4, 0x5c, 0x8f),
            Self::Maximum => (0x94, 0x9d, 0xa9),
            Self::Nth(index) => NTH_RGB[index % NTH],
        }
    }
}

const NTH_RGB: [Rgb; NTH] = [
    (0x00, 0x6b, 0xb3),
    (0xd5, 0x7a, 0x00),
    (0x00, 0x8a, 0x66),
    (0xc0, 0x5a, 0x96),
    (0x3a, 0x96, 0xcc),
    (0xb8, 0x3a, 0x0c),
    (0x6b, 0x5b, 0xb0),
    (0x6b, 0x74, 0x80),
];

/// The steps of a heat map from few to many: one hue, ever darker.
pub(crate) const HEAT: [Rgb; 8] = [
    (0xe3, 0xee, 0xf8),
    (0xc3, 0xdb, 0xf0),
    (0x9d, 0xc5, 0xe6),
    (0x70, 0xa9, 0xd8),
    (0x45, 0x8b, 0xc6),
    (0x25, 0x6c, 0xab),
    (0x11, 0x4e, 0x87),
    (0x08, 0x30, 0x58),
];

/// A colour between two others: `share` of the second.
pub(crate) fn mix(first: Rgb, second: Rgb, share: f64) -> Rgb {
    let channel = |a: u8, b: u8| {
        let value = f64::from(a) + (f64::from(b) - f64::from(a)) * share.clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between two bytes"
        )]
        let byte = value.round() as u8;
        byte
    };
    (
        channel(first.0, second.0),
        channel(first.1, second.1),
        channel(first.2, second.2),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The style sheet repeats these values; this keeps the two from drifting apart.
    #[test]
    fn the_style_sheet_has_the_same_colours() {
        let sheet = include_str!("../../../templates/report.css");
        let light = sheet.split("prefers-color-scheme: dark").next().unwrap();
        let value = |(r, g, b): Rgb| format!("#{r:02x}{g:02x}{b:02x}");
        for colour in Colour::all() {
            let wanted = format!("{}: {};", colour.variable(), value(colour.rgb()));
            assert!(light.contains(&wanted), "{wanted}");
        }
        for (index, &rgb) in HEAT.iter().enumerate() {
            let wanted = format!("--heat{index}: {};", value(rgb));
            assert!(light.contains(&wanted), "{wanted}");
        }
    }

    /// The variables of the light and of the dark theme.
    fn themes() -> [Vec<(String, Rgb)>; 2] {
        let sheet = include_str!("../../../templates/report.css");
        let (light, dark) = sheet.split_once("prefers-color-scheme: dark").unwrap();
        let (dark, _) = dark.split_once("\n}\n").unwrap();
        [light, dark].map(|text| {
            text.lines()
                .filter_map(|line| {
                    let (name, value) = line.trim().split_once(": #")?;
                    let value = u32::from_str_radix(value.trim_end_matches(';'), 16).ok()?;
                    let [_, r, g, b] = value.to_be_bytes();
                    Some((name.to_owned(), (r, g, b)))
                })
                .collect()
        })
    }

    /// WCAG 2.2, relative luminance and contrast ratio.
    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let luminance = |(r, g, b): Rgb| {
            let linear = |channel: u8| {
                let share = f64::from(channel) / 255.0;
                if share <= 0.040_45 {
                    share / 12.92
                } else {
                    ((share + 0.055) / 1.055).powf(2.4)
                }
            };
            0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
        };
        let (x, y) = (luminance(a) + 0.05, luminance(b) + 0.05);
        x.max(y) / x.min(y)
    }

    #[test]
    fn text_can_be_read_and_curves_can_be_seen_in_both_themes() {
        for theme in themes() {
            let find = |name: &str| theme.iter().find(|(known, _)| known == name).unwrap().1;
            let check = |front: &str, back: &str, least: f64| {
                let ratio = contrast(find(front), find(back));
                assert!(ratio >= least, "{front} on {back}: {ratio:.2}");
            };
            for back in ["--paper", "--panel", "--shade"] {
                check("--ink", back, 7.0);
                check("--soft", back, 4.5);
            }
            check("--link", "--paper", 4.5);
            for verdict in ["--pass", "--fail", "--inconclusive"] {
                check(verdict, "--paper", 4.5);
                check(verdict, &format!("{verdict}-tint"), 4.5);
                check("--ink", &format!("{verdict}-tint"), 7.0);
            }
            check("--soft", "--inconclusive-tint", 4.5);
            for colour in Colour::all() {
                // Graphics need 3; the maximum stays in the background on purpose.
                let least = if colour == Colour::Maximum { 2.5 } else { 2.9 };
                check(&colour.variable(), "--paper", least);
            }
        }
    }

    #[test]
    fn mixes_by_share() {
        assert_eq!(mix((0, 0, 0), (200, 100, 50), 0.5), (100, 50, 25));
        assert_eq!(mix((1, 2, 3), (200, 100, 50), 0.0), (1, 2, 3));
    }
}
