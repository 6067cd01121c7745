//! How long to wait, as it is written on the command line.

use std::time::Duration;

use jetiter_client::FOREVER;

/// `30s`, `1h 30m`, `0` or `forever`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    match text {
        "forever" => Ok(FOREVER),
        "0" => Ok(Duration::ZERO),
        text => humantime::parse_duration(text).map_err(|error| {
            format!("{error}: write a number with its unit, such as 30s, or `forever`")
        }),
    }
}

/// As a person writes it.
pub(crate) fn shown(wait: Duration) -> String {
    match wait {
        FOREVER => "forever".to_owned(),
        wait => humantime::format_duration(wait).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read() {
        assert_eq!(parse("0"), Ok(Duration::ZERO));
        assert_eq!(parse("forever"), Ok(FOREVER));
        assert_eq!(parse("1m 5s"), Ok(Duration::from_secs(65)));
        assert!(parse("5").unwrap_err().contains("30s"));
    }
}
