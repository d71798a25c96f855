//! When a request that was turned away is tried again.

use std::time::Duration;

/// A rule for trying again. A server that says when to come back (`Retry-After`, RFC 9110, 10.2.3) is
/// obeyed; one that does not is given a pause that doubles with every try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The HTTP statuses that are tried again.
    pub statuses: Vec<u16>,
    /// How often it is tried again, at most.
    pub times: u32,
    /// How long to wait where the server does not say, before the first further try.
    pub pause: Duration,
    /// The longest wait; a server that asks for more is not tried again.
    pub longest: Duration,
}

/// Why a request is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It has been tried as often as the rule allows.
    TriedEnough,
    /// The server asks for a longer wait than the rule allows.
    AskedTooMuch(Duration),
}

impl Retry {
    /// How long to wait before the `number`th further try, from 1, after an answer that asked for
    /// such a wait or for none.
    ///
    /// # Errors
    /// Why it is not tried again.
    pub fn pause_before(&self, number: u32, asked: Option<Duration>) -> Result<Duration, GivenUp> {
        if number > self.times {
            return Err(GivenUp::TriedEnough);
        }
        match asked {
            Some(asked) if asked > self.longest => Err(GivenUp::AskedTooMuch(asked)),
            Some(asked) => Ok(asked),
            None => {
                let doublings = number.saturating_sub(1).min(31);
                Ok(self.pause.saturating_mul(1 << doublings).min(self.longest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_obeyed_and_otherwise_the_pause_doubles() {
        let second = Duration::from_secs;
        let retry = Retry {
            statuses: vec![429],
            times: 5,
            pause: second(1),
            longest: second(6),
        };
        let pauses: Vec<_> = (1..=6).map(|n| retry.pause_before(n, None)).collect();
        let known = [1, 2, 4, 6, 6].map(|s| Ok(second(s)));
        assert_eq!(pauses[..5], known);
        assert_eq!(pauses[5], Err(GivenUp::TriedEnough));
        assert_eq!(retry.pause_before(3, Some(second(0))), Ok(second(0)));
        assert_eq!(retry.pause_before(3, Some(second(6))), Ok(second(6)));
        let asked = second(7);
        assert_eq!(
            retry.pause_before(1, Some(asked)),
            Err(GivenUp::AskedTooMuch(asked))
        );
        let often = Retry {
            times: u32::MAX,
            ..retry
        };
        assert_eq!(often.pause_before(u32::MAX, None), Ok(second(6)));
    }
}
