//! Numbers for people.

/// Bytes with a binary unit: `64 B`, `12.3 KiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut v = n as f64 / 1024.0;
    let mut unit = 0;
    while v >= 1023.95 && unit + 1 < UNITS.len() {
        v /= 1024.0;
        unit += 1;
    }
    format!("{} {}", three(v), UNITS[unit])
}

/// At least three digits: `1.23`, `12.3`, `1234`.
pub(crate) fn three(v: f64) -> String {
    let size = v.abs();
    if !v.is_finite() {
        v.to_string()
    } else if size < 9.995 {
        format!("{v:.2}")
    } else if size < 99.95 {
        format!("{v:.1}")
    } else {
        format!("{v:.0}")
    }
}

/// A number in few characters.
pub(crate) fn number(v: f64) -> String {
    let a = v.abs();
    if v == 0.0 || !v.is_finite() {
        return v.to_string();
    }
    if v.fract() == 0.0 && a < 1e7 {
        format!("{v:.0}")
    } else if (1e-3..1e6).contains(&a) {
        let digits = (4 - a.log10().floor() as i32).clamp(0, 6) as usize;
        let text = format!("{v:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{v:.2e}")
    }
}

/// Nanoseconds with a fitting unit: `850 ns`, `12.3 µs`, `4.56 ms`, `1.23 s`, `2m05s`, `3h02m`.
pub(crate) fn ns(n: u64) -> String {
    let seconds = n / 1_000_000_000;
    match n {
        0..1_000 => format!("{n} ns"),
        1_000..1_000_000 => format!("{} µs", three(n as f64 / 1e3)),
        1_000_000..1_000_000_000 => format!("{} ms", three(n as f64 / 1e6)),
        1_000_000_000..60_000_000_000 => format!("{} s", three(n as f64 / 1e9)),
        _ if seconds < 3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ if seconds < 48 * 3600 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d", seconds / 86400),
    }
}

/// Events per second: `29.9/s`, `12.3k/s`.
pub(crate) fn rate(v: f64) -> String {
    if v >= 1e9 {
        format!("{v:.1e}/s")
    } else if v >= 99_950.0 {
        format!("{}k/s", three(v / 1e3))
    } else {
        format!("{}/s", three(v))
    }
}

/// Bytes per second.
pub(crate) fn bandwidth(v: f64) -> String {
    format!("{}/s", bytes(v.max(0.0) as u64))
}

/// Text in at most so many columns; what is cut ends in an ellipsis.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain((width > 0).then_some('…')).collect()
}

/// As many whole values as have room, and `..` where there are more; a first one that has none is cut visibly.
pub(crate) fn values_in(values: &[String], more: bool, width: usize) -> String {
    let mut line = String::new();
    for (i, value) in values.iter().enumerate() {
        let gap = usize::from(i > 0);
        let last = i + 1 == values.len() && !more;
        let tail = if last { 0 } else { 3 };
        if line.chars().count() + gap + value.chars().count() + tail > width {
            return if i == 0 { cut(value, width) } else { line + " .." };
        }
        if i > 0 {
            line.push(' ');
        }
        line.push_str(value);
    }
    if more && !line.is_empty() { line + " .." } else { line }
}

/// A count with its noun.
pub(crate) fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// So many of these, and that they were: `1 frame was`, `2 frames were`.
pub(crate) fn were(n: u64, noun: &str) -> String {
    format!("{} {}", count(n, noun), if n == 1 { "was" } else { "were" })
}

/// Year, month, day, hour, minute and second of a time in seconds since 1970, by the calendar of today.
pub(crate) const fn utc(seconds: u64) -> [u64; 6] {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Years from March on, so that the day that leap years add is the last one.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year + era * 400 + if month <= 2 { 1 } else { 0 };
    [year, month, of_year - (153 * from_march + 2) / 5 + 1, of_day / 3600, of_day / 60 % 60, of_day % 60]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_shows_it() {
        assert_eq!([cut("7414234705812", 11), cut("abc", 3), cut("abc", 0)], ["7414234705…", "abc", ""]);
        let values = ["1.5", "22", "333"].map(str::to_owned);
        assert_eq!(values_in(&values, false, 10), "1.5 22 333");
        assert_eq!(values_in(&values, false, 9), "1.5 22 ..");
        assert_eq!(values_in(&values, true, 13), "1.5 22 333 ..");
        assert_eq!(values_in(&values, true, 12), "1.5 22 ..");
        assert_eq!(values_in(&values, true, 2), "1…");
    }

    #[test]
    fn a_number_has_few_characters() {
        let all = [0.0, 7.8, -1.0 / 3.0, 1234.5678, 1e6, 123_456_789.0, 1e-9, f64::NAN].map(number);
        assert_eq!(all, ["0", "7.8", "-0.33333", "1234.6", "1000000", "1.23e8", "1.00e-9", "NaN"]);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(["0 B", "1023 B", "1.00 KiB"], [0, 1023, 1024].map(bytes).each_ref().map(String::as_str));
        assert_eq!([bytes(65_536), bytes(1 << 20), bytes(u64::from(u32::MAX))], ["64.0 KiB", "1.00 MiB", "4.00 GiB"]);
        assert_eq!(
            [ns(999), ns(12_345), ns(33_333_333), ns(1_500_000_000)],
            ["999 ns", "12.3 µs", "33.3 ms", "1.50 s"]
        );
        assert_eq!([ns(125_000_000_000), ns(7_260_000_000_000)], ["2m05s", "2h01m"]);
        assert_eq!([rate(29.97), rate(1000.0), rate(123_456.0)], ["30.0/s", "1000/s", "123k/s"]);
        assert_eq!([count(1, "frame"), count(0, "frame")], ["1 frame", "0 frames"]);
    }
}
