//! Numbers as people read them.

/// Bytes in binary units with one decimal: `512 B`, `8.0 MiB`.
///
/// ```
/// assert_eq!(model::units::bytes(512), "512 B");
/// assert_eq!(model::units::bytes(8 << 20), "8.0 MiB");
/// ```
pub fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    for unit in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        // 1023.95 would be printed as 1024.0.
        if value < 1023.95 {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} EiB")
}

/// A count with thousands separators: `1,204`.
///
/// ```
/// assert_eq!(model::units::count(1_234_567), "1,234,567");
/// ```
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same for a number that may be below zero: `-3`.
pub fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", count(number.unsigned_abs()))
}

/// A count and its noun: `1 map`, `1,204 maps`.
///
/// ```
/// assert_eq!(model::units::counted(1, "map", "maps"), "1 map");
/// assert_eq!(model::units::counted(1_204, "map", "maps"), "1,204 maps");
/// ```
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Seconds as a duration in at most two units: `4 ms`, `2.5 s`, `8 h 56 m`;
/// `?` for what is no duration.
///
/// ```
/// assert_eq!(model::units::duration(32_168.0), "8 h 56 m");
/// assert_eq!(model::units::duration(0.004), "4 ms");
/// ```
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".into();
    }
    if seconds < 0.000_95 {
        return format!("{:.1} ms", seconds * 1e3);
    }
    if seconds < 0.999_5 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let two = |big: u64, big_unit, small: u64, small_unit| {
        if small == 0 {
            format!("{} {big_unit}", count(big))
        } else {
            format!("{} {big_unit} {small} {small_unit}", count(big))
        }
    };
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => two(whole / 60, "m", whole % 60, "s"),
        3_600..86_400 => two(whole / 3_600, "h", whole % 3_600 / 60, "m"),
        _ => two(whole / 86_400, "d", whole % 86_400 / 3_600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_step_up_before_they_would_read_1024() {
        for (number, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (16 << 30, "16.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn counts_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (23_800, "23,800")] {
            assert_eq!(count(number), text);
        }
        assert_eq!(signed(-1_204), "-1,204");
        assert_eq!(signed(i64::MIN), "-9,223,372,036,854,775,808");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, text) in [
            (0.000_4, "0.4 ms"),
            (0.999_6, "1.0 s"),
            (9.96, "10 s"),
            (59.7, "1 m"),
            (61.0, "1 m 1 s"),
            (3_599.6, "1 h"),
            (90_000.0, "1 d 1 h"),
            (f64::NAN, "?"),
            (-1.0, "?"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }
}
