//! Times as people type them, for options of all programs.

use std::time::Duration;
use thiserror::Error;

/// A text that is not a time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a time; give seconds, not negative, as in 1.5, or with a unit, as in 200ms, 2m, 1h")]
pub struct NotATime(String);

/// A time that is not negative: seconds as `1.5`, or with a unit, `200ms`, `50us`, `1.5s`, `2m`, `1h`, `3d`. Longer ones
/// than a hundred years are a hundred years, as instants cannot go arbitrarily far.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(shmx_record::duration::parse("200ms"), Ok(Duration::from_millis(200)));
/// assert!(shmx_record::duration::parse("-1").is_err());
/// ```
///
/// # Errors
///
/// [`NotATime`].
pub fn parse(text: &str) -> Result<Duration, NotATime> {
    let wrong = || NotATime(text.to_owned());
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic() && c != 'e') {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(wrong()),
    };
    let v: f64 = number.parse().map_err(|_| wrong())?;
    let d = Duration::try_from_secs_f64(v * unit).map_err(|_| wrong())?;
    Ok(d.min(Duration::from_secs(100 * 365 * 24 * 3600)))
}
