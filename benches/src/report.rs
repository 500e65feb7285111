//! What is printed of a case: medians and a line of JSON.

use std::fmt;

/// The results of several runs of one case on one side, in no particular order.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value in the middle, the mean of the two middle ones of an even number; none of none.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        if sorted.len() % 2 == 1 {
            return Some(upper);
        }
        let lower = middle.checked_sub(1).and_then(|n| sorted.get(n)).copied()?;
        Some(f64::midpoint(lower, upper))
    }

    /// The smallest value that at least `percent` in a hundred do not exceed; none of none.
    pub(crate) fn percentile(&self, percent: usize) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let position = (sorted.len() * percent).div_ceil(100).checked_sub(1)?;
        sorted.get(position).copied()
    }

    fn min(&self) -> Option<f64> {
        self.0.iter().copied().min_by(f64::total_cmp)
    }

    fn max(&self) -> Option<f64> {
        self.0.iter().copied().max_by(f64::total_cmp)
    }
}

/// What was measured beside the value of the case, by name with the unit last.
pub(crate) type Details = Vec<(&'static str, Samples)>;

/// What a rival reached in the same case, alternately with ours.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Peer {
    /// Name, version, and what of its behaviour was chosen.
    pub(crate) name: &'static str,
    pub(crate) samples: Samples,
    pub(crate) details: Details,
    /// What was held fixed for it alone.
    pub(crate) settings: String,
}

/// One case of a figure. Its `Display` is one line of JSON.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Line {
    pub(crate) figure: &'static str,
    pub(crate) case: String,
    pub(crate) unit: &'static str,
    pub(crate) samples: Samples,
    pub(crate) details: Details,
    pub(crate) peer: Option<Peer>,
    /// What was held fixed.
    pub(crate) settings: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.samples.median();
        write!(f, "{{\"figure\":{},\"case\":{}", Text(self.figure), Text(&self.case))?;
        write!(f, ",\"value\":{},\"unit\":{}", Number(value), Text(self.unit))?;
        if let Some(peer) = &self.peer {
            let peer_value = peer.samples.median();
            let ratio = value.zip(peer_value).map(|(ours, theirs)| ours / theirs);
            write!(f, ",\"peer\":{},\"peer_value\":{}", Text(peer.name), Number(peer_value))?;
            write!(f, ",\"ratio\":{}", Number(ratio))?;
        }
        write!(f, ",\"runs\":{}", self.samples.0.len())?;
        let (min, max) = (self.samples.min(), self.samples.max());
        write!(f, ",\"value_min\":{},\"value_max\":{}", Number(min), Number(max))?;
        if let Some(peer) = &self.peer {
            let (min, max) = (peer.samples.min(), peer.samples.max());
            write!(f, ",\"peer_min\":{},\"peer_max\":{}", Number(min), Number(max))?;
        }
        for (name, samples) in &self.details {
            write!(f, ",{}:{}", Text(name), Number(samples.median()))?;
        }
        for (name, samples) in self.peer.iter().flat_map(|peer| &peer.details) {
            write!(f, ",{}:{}", Text(&format!("peer_{name}")), Number(samples.median()))?;
        }
        write!(f, ",\"settings\":{}", Text(&self.settings))?;
        if let Some(peer) = &self.peer {
            write!(f, ",\"peer_settings\":{}", Text(&peer.settings))?;
        }
        f.write_str("}")
    }
}

/// A number to three significant digits; null if there is none, as JSON knows no others.
struct Number(Option<f64>);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.filter(|value| value.is_finite()) {
            None => f.write_str("null"),
            Some(value) if value.abs() >= 100.0 => write!(f, "{value:.0}"),
            Some(value) if value.abs() >= 10.0 => write!(f, "{value:.1}"),
            Some(value) if value.abs() >= 1.0 => write!(f, "{value:.2}"),
            Some(value) => write!(f, "{value:.3}"),
        }
    }
}

/// A text as JSON writes it.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples(values.to_vec())
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(samples(&[]).median(), None);
        assert_eq!(samples(&[3.0]).median(), Some(3.0));
        assert_eq!(samples(&[9.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(samples(&[9.0, 1.0, 4.0, 2.0]).median(), Some(3.0));
    }

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(samples(&hundred).percentile(50), Some(50.0));
        assert_eq!(samples(&hundred).percentile(99), Some(99.0));
        assert_eq!(samples(&[7.0, 8.0]).percentile(99), Some(8.0));
        assert_eq!(samples(&[]).percentile(99), None);
    }

    #[test]
    fn a_case_is_one_line_of_json() {
        let line = Line {
            figure: "f",
            case: "a \"b\"".into(),
            unit: "us/entry",
            samples: samples(&[0.3, 0.31, 0.4]),
            details: vec![("p99_us", samples(&[7.0])), ("bytes", Samples::default())],
            peer: Some(Peer {
                name: "p",
                samples: samples(&[0.62, 12.5, 0.5]),
                details: vec![("p99_us", samples(&[8.0, 9.0, 10.0]))],
                settings: "x\\y\nz".into(),
            }),
            settings: "none".into(),
        };
        let expected = r#"{"figure":"f","case":"a \"b\"","value":0.310,"unit":"us/entry","peer":"p","peer_value":0.620,"ratio":0.500,"runs":3,"value_min":0.300,"value_max":0.400,"peer_min":0.500,"peer_max":12.5,"p99_us":7.00,"bytes":null,"peer_p99_us":9.00,"settings":"none","peer_settings":"x\\y\u000az"}"#;
        assert_eq!(line.to_string(), expected);
    }

    #[test]
    fn without_a_peer_nothing_is_compared() {
        let line = Line {
            figure: "f",
            case: "c".into(),
            unit: "us",
            samples: samples(&[1234.5]),
            details: Vec::new(),
            peer: None,
            settings: String::new(),
        };
        let expected = r#"{"figure":"f","case":"c","value":1234,"unit":"us","runs":1,"value_min":1234,"value_max":1234,"settings":""}"#;
        assert_eq!(line.to_string(), expected);
    }

    #[test]
    fn a_number_that_json_cannot_say_is_null() {
        assert_eq!(Number(Some(f64::INFINITY)).to_string(), "null");
        assert_eq!(Number(None).to_string(), "null");
    }
}
