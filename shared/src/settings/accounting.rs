//! What replies cost, what users may use in a day, and which replies are used again.

use std::{path::Path, time::Duration};

use super::read::Reader;
use crate::{budget::Budgets, prices::PriceTable};

/// Nobody's budget, but a typing error.
const MOST: u64 = 1_000_000_000_000;

/// The largest table that is read.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Which replies are used again for the same prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyCacheSettings {
    /// `REPLY_CACHE_SECONDS`: for how long.
    pub keep: Duration,
    /// `REPLY_CACHE_BYTES`: of how much text at most, in one process.
    pub bytes: usize,
}

pub(super) fn read_prices(read: &mut Reader<'_>) -> PriceTable {
    const NAME: &str = "PRICES_FILE";
    let Some(path) = read.text(NAME) else { return PriceTable::built_in() };
    let table = read_file(Path::new(&path)).and_then(|text| PriceTable::parse(&text).map_err(|bad| bad.to_string()));
    table.unwrap_or_else(|problem| {
        read.refuse(
            NAME,
            format!("{path:?} can't be used: {problem}"),
            "the path of a JSON file such as {\"prices\": [{\"model\": \"m\", \"input\": 2500000, \"cached_input\": 1250000, \
             \"output\": 10000000}]}, in millionths of a US dollar for a million tokens",
        );
        PriceTable::default()
    })
}

fn read_file(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MOST_BYTES {
        return Err(format!("it is larger than {MOST_BYTES} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

pub(super) fn read_budgets(read: &mut Reader<'_>) -> Budgets {
    Budgets {
        daily_tokens: read.number("USER_DAILY_TOKENS", 1, MOST),
        daily_micro_usd: read.number("USER_DAILY_MICRO_USD", 1, MOST),
    }
}

pub(super) fn read_reply_cache(read: &mut Reader<'_>) -> Option<ReplyCacheSettings> {
    let seconds = read.number("REPLY_CACHE_SECONDS", 0, 86_400).unwrap_or(0);
    let bytes = read.number("REPLY_CACHE_BYTES", 1_024, 64 * 1_024 * 1_024 * 1_024).unwrap_or(64 * 1_024 * 1_024);
    let keep = Duration::from_secs(seconds);
    (seconds > 0).then(|| ReplyCacheSettings { keep, bytes: usize::try_from(bytes).unwrap_or(usize::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::read::tests::read;

    #[test]
    fn without_settings_prices_are_built_in_and_there_is_no_budget_and_no_cache() {
        let settings = read(&[]).unwrap();
        assert_eq!(*settings.prices, PriceTable::built_in());
        assert!(!settings.budgets.are_set());
        assert_eq!(settings.reply_cache, None);
        assert_eq!(read(&[("REPLY_CACHE_SECONDS", "0")]).unwrap().reply_cache, None);
    }

    #[test]
    fn budgets_and_the_cache_are_read() {
        let settings = read(&[
            ("USER_DAILY_TOKENS", "1000"),
            ("USER_DAILY_MICRO_USD", "2500000"),
            ("REPLY_CACHE_SECONDS", "60"),
            ("REPLY_CACHE_BYTES", "4096"),
        ])
        .unwrap();
        assert_eq!(settings.budgets, Budgets { daily_tokens: Some(1_000), daily_micro_usd: Some(2_500_000) });
        let cache = ReplyCacheSettings { keep: Duration::from_secs(60), bytes: 4_096 };
        assert_eq!(settings.reply_cache, Some(cache));
        for (name, value) in [
            ("USER_DAILY_TOKENS", "0"),
            ("USER_DAILY_TOKENS", "1e6"),
            ("USER_DAILY_MICRO_USD", "2.5"),
            ("REPLY_CACHE_SECONDS", "1h"),
            ("REPLY_CACHE_SECONDS", "86401"),
            ("REPLY_CACHE_BYTES", "1"),
        ] {
            let errors = read(&[(name, value)]).expect_err(name);
            assert_eq!((errors.0.len(), errors.0[0].name), (1, name));
        }
    }

    #[test]
    fn a_table_is_read_from_a_file_and_a_bad_one_is_refused_with_entry_and_field() {
        let folder = std::env::temp_dir().join(format!("parlance-prices-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("prices.json").to_string_lossy().into_owned();
        std::fs::write(&path, r#"{"prices": [{"model": "m", "input": 1, "output": 2}]}"#).unwrap();
        assert_eq!(read(&[("PRICES_FILE", &path)]).unwrap().prices.price("m").map(|price| price.output), Some(2));
        std::fs::write(&path, r#"{"prices": [{"model": "m", "input": 1, "output": "2"}]}"#).unwrap();
        let errors = read(&[("PRICES_FILE", &path)]).expect_err("a string is no price").to_string();
        assert!(errors.contains("PRICES_FILE") && errors.contains("entry 1 (\"m\")"), "{errors}");
        assert!(errors.contains("field \"output\""), "{errors}");
        std::fs::remove_dir_all(&folder).unwrap();
        let errors = read(&[("PRICES_FILE", &path)]).expect_err("there is none");
        assert_eq!(errors.0[0].name, "PRICES_FILE");
    }
}
