//! Numbers as JavaScript has them: each is a double.

use crate::units::EpochMs;

/// 2^53: from here on a double stands for more than one integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What a number is, where a whole one that counts something is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Of(u64),
    Negative,
    Fractional,
    /// 2^53 or more: neighbours read as one number, and no pid or start time is that large.
    TooLarge,
    NotANumber,
}

impl Whole {
    pub(super) fn new(number: f64) -> Self {
        if number.is_nan() {
            Self::NotANumber
        } else if number < 0.0 {
            Self::Negative
        } else if number >= EXACT {
            Self::TooLarge
        } else if number.fract() != 0.0 {
            Self::Fractional
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole and in range, see above"
            )]
            Self::Of(number as u64)
        }
    }

    /// Decimal digits alone, however many.
    pub(super) fn of_digits(digits: &str) -> Self {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten().map_or(Self::NotANumber, Self::new)
    }
}

/// Milliseconds since 1970; `None` for what is no whole number from 0 to 2^63.
pub(super) fn moment(number: f64) -> Option<EpochMs> {
    /// 2^63, the first that no longer fits: read as the last that does.
    const END: f64 = 9_223_372_036_854_775_808.0;
    let is_moment = (0.0..=END).contains(&number) && number.fract() == 0.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and in range, and `as` saturates")]
    is_moment.then_some(EpochMs(number as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_whole_only_where_a_double_counts_by_one() {
        for (number, expected) in [
            (0.0, Whole::Of(0)),
            (-0.0, Whole::Of(0)),
            (7.0, Whole::Of(7)),
            (EXACT - 1.0, Whole::Of((1 << 53) - 1)),
            (EXACT, Whole::TooLarge),
            (f64::INFINITY, Whole::TooLarge),
            (f64::NEG_INFINITY, Whole::Negative),
            (-0.5, Whole::Negative),
            (0.5, Whole::Fractional),
            (f64::MIN_POSITIVE, Whole::Fractional),
            (f64::NAN, Whole::NotANumber),
        ] {
            assert_eq!(Whole::new(number), expected, "{number}");
        }
        for (digits, expected) in [("007", Whole::Of(7)), ("", Whole::NotANumber), ("+7", Whole::NotANumber)] {
            assert_eq!(Whole::of_digits(digits), expected, "{digits}");
        }
        assert_eq!(Whole::of_digits(&"9".repeat(400)), Whole::TooLarge);
    }

    #[test]
    fn a_moment_is_whole_and_fits() {
        for (number, expected) in [
            (-0.0, Some(0)),
            (1e3, Some(1000)),
            (9_223_372_036_854_775_807.0, Some(i64::MAX)),
            (1e19, None),
            (f64::INFINITY, None),
            (f64::NAN, None),
            (-1.0, None),
            (0.5, None),
        ] {
            assert_eq!(moment(number), expected.map(EpochMs), "{number}");
        }
    }
}
