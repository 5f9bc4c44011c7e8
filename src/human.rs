//! Numbers as a person reads them. For tables and pages, never for machines.

/// A duration with two figures or two units: `230 ms`, `2.3 s`, `3 min 5 s`, `2 h 10 min`.
pub fn duration(secs: f64) -> String {
    let secs = secs.max(0.0);
    // Each bound is where rounding would show the next unit.
    if secs < 0.0005 {
        return "0 s".to_owned();
    }
    if secs < 0.9995 {
        return format!("{:.0} ms", secs * 1e3);
    }
    if secs < 9.95 {
        return format!("{secs:.1} s");
    }
    let two = |unit: u64, big: &str, small_unit: u64, small: &str| {
        let all = (secs / small_unit as f64).round() as u64;
        let (whole, rest) = (all / (unit / small_unit), all % (unit / small_unit));
        match rest {
            0 => format!("{whole} {big}"),
            _ => format!("{whole} {big} {rest} {small}"),
        }
    };
    match secs.round() as u64 {
        secs @ ..60 => format!("{secs} s"),
        60..3600 => two(60, "min", 1, "s"),
        3600..86_400 => two(3600, "h", 60, "min"),
        _ => two(86_400, "d", 3600, "h"),
    }
}

/// A count with its thousands told apart: `12,345`, `12.3M`.
pub fn count(count: u64) -> String {
    match count {
        ..10_000_000 => {
            let digits = count.to_string();
            let mut text = String::with_capacity(digits.len() + 2);
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index) % 3 == 0 {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        10_000_000..1_000_000_000 => format!("{:.1}M", count as f64 / 1e6),
        _ => format!("{:.1}G", count as f64 / 1e9),
    }
}

/// How often something happens: `12/s`, `1.2/s`, `5.4/min`, `3/h`.
pub fn rate(per_second: f64) -> String {
    let figures = |number: f64| {
        if number < 9.95 {
            format!("{number:.1}")
        } else {
            count(number.round() as u64)
        }
    };
    match per_second.max(0.0) {
        none if none < 1.0 / 86_400.0 => "0".to_owned(),
        often if often >= 0.995 => format!("{}/s", figures(often)),
        some if some * 60.0 >= 0.995 => format!("{}/min", figures(some * 60.0)),
        rare => format!("{}/h", figures(rare * 3600.0)),
    }
}

/// A name that may hold anything, for a line of text that must obey nothing in it.
pub fn name(name: &str) -> String {
    let is_plain = |c: char| !c.is_control() && !is_invisible(c);
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if is_plain(c) {
            text.push(c);
        } else {
            text.extend(c.escape_default());
        }
    }
    text
}

/// Marks that change how others are shown, or break lines, and show nothing themselves.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_and_rounded_once() {
        for (secs, want) in [
            (0.0, "0 s"),
            (-1.0, "0 s"),
            (0.0004, "0 s"),
            (0.0121, "12 ms"),
            (0.9994, "999 ms"),
            (0.9996, "1.0 s"),
            (2.34, "2.3 s"),
            (9.94, "9.9 s"),
            (9.96, "10 s"),
            (59.4, "59 s"),
            (59.6, "1 min"),
            (185.0, "3 min 5 s"),
            (3599.6, "1 h"),
            (7800.0, "2 h 10 min"),
            (86_400.0, "1 d"),
            (360_000.0, "4 d 4 h"),
        ] {
            assert_eq!(duration(secs), want, "{secs}");
        }
    }

    #[test]
    fn counts_and_rates_are_short() {
        for (number, want) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
            (12_345_678, "12.3M"),
            (2_500_000_000, "2.5G"),
        ] {
            assert_eq!(count(number), want);
        }
        for (per_second, want) in [
            (0.0, "0"),
            (1234.0, "1,234/s"),
            (12.34, "12/s"),
            (1.23, "1.2/s"),
            (0.5, "30/min"),
            (0.09, "5.4/min"),
            (0.001, "3.6/h"),
        ] {
            assert_eq!(rate(per_second), want, "{per_second}");
        }
    }

    #[test]
    fn a_name_cannot_command_a_terminal() {
        assert_eq!(name("ünï/日本"), "ünï/日本");
        assert_eq!(name("a\u{1b}[2J\nb\u{202e}"), "a\\u{1b}[2J\\nb\\u{202e}");
    }
}
