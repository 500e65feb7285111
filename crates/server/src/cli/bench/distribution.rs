//! How often which key is used.

use std::fmt;
use std::str::FromStr;

use crate::data::dice::Dice;

/// How often which key is used.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Distribution {
    /// All alike.
    Uniform,
    /// The n-th most popular key in proportion to n to the power of minus the exponent.
    Zipf {
        /// Greater than 0 and at most 5; the larger, the more goes to few keys.
        exponent: f64,
    },
    /// One key gets a part of all operations, the others share the rest alike.
    Hot {
        /// The part, 0 to 1.
        share: f64,
    },
}

/// What `zipf` alone means: what key-value stores are commonly measured with.
const EXPONENT: f64 = 0.99;
/// What `hot` alone means.
const SHARE: f64 = 0.5;
const ALLOWED: &str = "allowed is uniform, zipf, zipf:EXPONENT with more than 0 and up to 5, hot, or \
                       hot:SHARE with 0 to 1";

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let number = |default: f64, is_allowed: fn(f64) -> bool| {
            let number = number.map_or(Some(default), |number| number.parse().ok());
            number.filter(|number| is_allowed(*number)).ok_or_else(|| ALLOWED.to_owned())
        };
        match name {
            "uniform" if text == name => Ok(Self::Uniform),
            "zipf" => {
                let exponent = number(EXPONENT, |it| it > 0.0 && it <= 5.0)?;
                Ok(Self::Zipf { exponent })
            }
            "hot" => Ok(Self::Hot { share: number(SHARE, |it| (0.0..=1.0).contains(&it))? }),
            _ => Err(ALLOWED.to_owned()),
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf { exponent } => write!(f, "zipf:{exponent}"),
            Self::Hot { share } => write!(f, "hot:{share}"),
        }
    }
}

/// Draws keys by a distribution; the most popular one is 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampler {
    distribution: Distribution,
    keys: u32,
    zipf: Option<Zipf>,
}

impl Sampler {
    /// Draws from so many keys, at least one.
    pub(crate) fn new(distribution: Distribution, keys: u32) -> Self {
        let zipf = match distribution {
            Distribution::Zipf { exponent } => Some(Zipf::new(exponent, keys)),
            Distribution::Uniform | Distribution::Hot { .. } => None,
        };
        Self { distribution, keys, zipf }
    }

    /// The number of a key, below the number of keys.
    pub(crate) fn draw(&self, dice: &mut Dice) -> u32 {
        if let Some(zipf) = &self.zipf {
            return zipf.draw(dice);
        }
        match self.distribution {
            Distribution::Hot { share } if dice.fraction() < share => 0,
            Distribution::Hot { .. } if self.keys > 1 => 1 + below(dice, self.keys - 1),
            Distribution::Hot { .. } | Distribution::Uniform | Distribution::Zipf { .. } => {
                below(dice, self.keys)
            }
        }
    }
}

fn below(dice: &mut Dice, limit: u32) -> u32 {
    u32::try_from(dice.below(limit as usize)).expect("it is below a u32")
}

/// Zipf's law in constant memory: a continuous curve that lies above the law is drawn from by its
/// inverted integral, and what lies between the two is drawn again (Hormann and Derflinger,
/// "Rejection-inversion to generate variates from monotone discrete distributions", 1996).
#[derive(Clone, Copy, Debug)]
struct Zipf {
    exponent: f64,
    keys: u32,
    /// The integral at the ends.
    first: f64,
    last: f64,
    /// So close to a whole number, no test is needed.
    close: f64,
}

impl Zipf {
    fn new(exponent: f64, keys: u32) -> Self {
        let mut zipf = Self { exponent, keys, first: 0.0, last: 0.0, close: 0.0 };
        zipf.first = zipf.integral(1.5) - 1.0;
        zipf.last = zipf.integral(f64::from(keys) + 0.5);
        zipf.close = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.law(2.0));
        zipf
    }

    fn draw(&self, dice: &mut Dice) -> u32 {
        loop {
            let area = self.last + dice.fraction() * (self.first - self.last);
            let place = self.inverse(area);
            let rank = place.round().clamp(1.0, f64::from(self.keys));
            if rank - place <= self.close || area >= self.integral(rank + 0.5) - self.law(rank) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is whole, and from 1 to a u32"
                )]
                return rank as u32 - 1;
            }
        }
    }

    fn law(&self, rank: f64) -> f64 {
        rank.powf(-self.exponent)
    }

    /// The integral of the law, up to a constant.
    fn integral(&self, rank: f64) -> f64 {
        let power = 1.0 - self.exponent;
        if power.abs() < NEARLY_ONE { rank.ln() } else { rank.powf(power) / power }
    }

    fn inverse(&self, area: f64) -> f64 {
        let power = 1.0 - self.exponent;
        if power.abs() < NEARLY_ONE { area.exp() } else { (area * power).powf(1.0 / power) }
    }
}

/// Nearer to an exponent of 1 than this, the logarithm is more exact than the power.
const NEARLY_ONE: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 200_000;

    /// How often each of so many keys is drawn, in parts of all draws.
    fn shares(text: &str, keys: u32) -> Vec<f64> {
        let sampler = Sampler::new(text.parse().unwrap(), keys);
        let mut dice = Dice::new(7);
        let mut counts = vec![0_u32; keys as usize];
        (0..DRAWS).for_each(|_| counts[sampler.draw(&mut dice) as usize] += 1);
        counts.iter().map(|count| f64::from(*count) / f64::from(DRAWS)).collect()
    }

    #[test]
    fn zipf_follows_its_law_at_and_beside_an_exponent_of_one() {
        for exponent in [0.5, 0.99, 1.0, 1.2, 3.0] {
            for keys in [1_u32, 2, 50, 1000] {
                let law: Vec<f64> =
                    (1..=keys).map(|rank| f64::from(rank).powf(-exponent)).collect();
                let sum: f64 = law.iter().sum();
                let found = shares(&format!("zipf:{exponent}"), keys);
                for (rank, (found, law)) in found.iter().zip(law).enumerate() {
                    let expected = law / sum;
                    // Five times what chance alone does to that many draws, of which none is a part.
                    let draws = f64::from(DRAWS);
                    let allowed = 5.0 * ((expected * draws).sqrt() + 1.0) / draws;
                    let off = (found - expected).abs();
                    assert!(off < allowed, "{exponent} {keys} {rank}: {found}, {expected}");
                }
            }
        }
    }

    #[test]
    fn a_hot_key_gets_its_share_and_the_others_the_rest() {
        let found = shares("hot:0.8", 5);
        assert!((found[0] - 0.8).abs() < 0.01, "{found:?}");
        assert!(found[1..].iter().all(|share| (share - 0.05).abs() < 0.01), "{found:?}");
        assert_eq!(shares("hot:1", 5)[0], 1.0);
        assert_eq!(shares("hot:0", 1), [1.0]);
    }

    #[test]
    fn uniform_treats_all_keys_alike() {
        assert!(shares("uniform", 10).iter().all(|share| (share - 0.1).abs() < 0.01));
    }

    #[test]
    fn distributions_read_back_as_written() {
        for text in ["uniform", "zipf:1.2", "hot:0.25"] {
            assert_eq!(text.parse::<Distribution>().unwrap().to_string(), text);
        }
        assert_eq!("zipf".parse(), Ok(Distribution::Zipf { exponent: 0.99 }));
        assert_eq!("hot".parse(), Ok(Distribution::Hot { share: 0.5 }));
        for text in ["", "uniform:1", "zipf:0", "zipf:nan", "zipf:6", "hot:1.1", "hot:", "cold"] {
            let error = text.parse::<Distribution>().unwrap_err();
            assert_eq!(error, ALLOWED, "{text}");
        }
    }
}
