//! What tokens cost: a table of prices by model, built in or from a file.
//!
//! The longest name that a model's name begins with wins, and it must end where a word of the name ends: `gpt-5` is the
//! price of `gpt-5-2025-08-07`, not of `gpt-5.5`. A model that is not in the table has no price: its replies cost an unknown
//! amount, never nothing. Amounts are whole millionths of a US dollar; what is left over is rounded up once per reply.

use std::fmt;

use serde_json::{Map, Value};

use crate::task::Usage;

/// The table that is used unless a file names another.
const BUILT_IN: &str = include_str!("../prices.json");

/// More entries than anybody sells models.
const MOST_ENTRIES: usize = 10_000;

/// A million dollars for a million tokens: sums of it stay far from the end of the numbers.
const MOST: u64 = 1_000_000_000_000;

const TOKENS: u128 = 1_000_000;

/// Millionths of a US dollar for a million tokens of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Of the prompt.
    pub input: u64,
    /// Of the prompt, but known to the provider from before.
    pub cached_input: u64,
    /// Of the reply.
    pub output: u64,
}

/// Prices by the beginning of a model's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceTable(Vec<(String, Option<Price>)>);

/// What is wrong with a table: which entry, which field, and what is accepted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPrices(String);

impl fmt::Display for BadPrices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadPrices {}

impl PriceTable {
    /// The table that comes with this version. A test makes sure that it can be read.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).unwrap_or_default()
    }

    /// Reads a table: `{"prices": [{"model", "input", "cached_input"?, "output"}], "comment"?, "date"?, "source"?}`. Without a
    /// price for cached input it is that of other input. `null` for both prices says that the model's are not known.
    ///
    /// # Errors
    /// [`BadPrices`] names the first entry and field that can't be used.
    pub fn parse(text: &str) -> Result<Self, BadPrices> {
        let file: Value = serde_json::from_str(text).map_err(|error| BadPrices(format!("it is not JSON: {error}")))?;
        let Value::Object(file) = file else { return Err(BadPrices("it is no JSON object".to_owned())) };
        only(&file, &["prices", "comment", "date", "source"], "the table")?;
        for field in ["comment", "date", "source"] {
            if !matches!(file.get(field), None | Some(Value::String(_))) {
                return Err(BadPrices(format!("field \"{field}\" must be a string")));
            }
        }
        let Some(Value::Array(entries)) = file.get("prices") else {
            return Err(BadPrices("field \"prices\" must be a list of entries".to_owned()));
        };
        if entries.len() > MOST_ENTRIES {
            return Err(BadPrices(format!("field \"prices\" has more than {MOST_ENTRIES} entries")));
        }
        let mut table: Vec<(String, Option<Price>)> = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let (model, price) = read_entry(index + 1, entry)?;
            if table.iter().any(|(earlier, _)| *earlier == model) {
                return Err(BadPrices(format!("entry {} (\"{model}\"): the model is in the table twice", index + 1)));
            }
            table.push((model, price));
        }
        // The first that fits is the longest.
        table.sort_by_key(|(model, _)| std::cmp::Reverse(model.len()));
        Ok(Self(table))
    }

    /// The price of a model's tokens, if it is known.
    pub fn price(&self, model: &str) -> Option<Price> {
        self.0.iter().find(|(prefix, _)| begins(model, prefix)).and_then(|(_, price)| *price)
    }

    /// The models whose price is known, by the beginnings of their names.
    pub fn known(&self) -> impl Iterator<Item = (&str, Price)> {
        self.0.iter().filter_map(|(model, price)| price.map(|price| (model.as_str(), price)))
    }

    /// What these tokens of a model cost, in millionths of a US dollar, rounded up. `None` when the price is not known, or
    /// how many tokens they were. No tokens cost nothing, whatever the model.
    pub fn cost(&self, model: Option<&str>, usage: &Usage) -> Option<u64> {
        let (input, output) = (usage.input_tokens?, usage.output_tokens?);
        if (input, output) == (0, 0) {
            return Some(0);
        }
        let price = self.price(model?)?;
        let cached = usage.cached_tokens.unwrap_or(0).min(input);
        let parts = [(input - cached, price.input), (cached, price.cached_input), (output, price.output)];
        let sum: u128 = parts.iter().map(|&(tokens, price)| u128::from(tokens) * u128::from(price)).sum();
        // Columns hold 63 bits.
        Some(i64::try_from(sum.div_ceil(TOKENS)).unwrap_or(i64::MAX).unsigned_abs())
    }
}

/// Whether a model's name begins with these words.
fn begins(model: &str, prefix: &str) -> bool {
    let Some(rest) = model.strip_prefix(prefix) else { return false };
    let is_word = |c: char| c.is_alphanumeric() || c == '.';
    !(prefix.ends_with(is_word) && rest.starts_with(is_word))
}

fn read_entry(number: usize, entry: &Value) -> Result<(String, Option<Price>), BadPrices> {
    let Value::Object(entry) = entry else { return Err(BadPrices(format!("entry {number} is no JSON object"))) };
    let Some(model) = entry.get("model").and_then(Value::as_str).filter(|model| !model.trim().is_empty()) else {
        return Err(BadPrices(format!("entry {number}: field \"model\" must be the beginning of a model's name")));
    };
    let name = format!("entry {number} (\"{model}\")");
    only(entry, &["model", "input", "cached_input", "output"], &name)?;
    if entry.get("input") == Some(&Value::Null) && entry.get("output") == Some(&Value::Null) {
        return match entry.get("cached_input") {
            None | Some(Value::Null) => Ok((model.to_owned(), None)),
            Some(_) => {
                Err(BadPrices(format!("{name}: field \"cached_input\" must be absent where the others are null")))
            }
        };
    }
    let number = |field: &str, value: Option<&Value>| {
        let number = value.and_then(Value::as_u64).filter(|number| *number <= MOST);
        number.ok_or_else(|| {
            let accepted = "a whole number of millionths of a US dollar for a million tokens";
            BadPrices(format!("{name}: field \"{field}\" must be {accepted}, from 0 to {MOST}"))
        })
    };
    let input = number("input", entry.get("input"))?;
    let cached_input = match entry.get("cached_input") {
        None => input,
        given => number("cached_input", given)?,
    };
    Ok((model.to_owned(), Some(Price { input, cached_input, output: number("output", entry.get("output"))? })))
}

fn only(object: &Map<String, Value>, known: &[&str], name: &str) -> Result<(), BadPrices> {
    match object.keys().find(|field| !known.contains(&field.as_str())) {
        None => Ok(()),
        Some(field) => {
            Err(BadPrices(format!("{name}: field \"{field}\" is not known; known are {}", known.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table() -> PriceTable {
        PriceTable::parse(
            r#"{"prices": [
                {"model": "m", "input": 1, "output": 1},
                {"model": "m-5", "input": 1250000, "cached_input": 125000, "output": 10000000},
                {"model": "m-5-mini", "input": 3, "cached_input": 1, "output": 7},
                {"model": "m-5-secret", "input": null, "output": null},
                {"model": "big", "input": 1000000000000, "output": 1000000000000}
            ]}"#,
        )
        .unwrap()
    }

    fn usage(input: u64, cached: Option<u64>, output: u64) -> Usage {
        Usage { input_tokens: Some(input), output_tokens: Some(output), cached_tokens: cached }
    }

    #[test]
    fn the_built_in_table_can_be_read() {
        let table = PriceTable::parse(BUILT_IN).unwrap();
        assert_eq!(table.price("gpt-4o-mini-2024-07-18").map(|price| price.input), Some(150_000));
        assert_eq!(table.price("gpt-4o-2024-08-06").map(|price| price.output), Some(10_000_000));
        assert_eq!(table.price("o1-mini"), None);
        assert_eq!(PriceTable::built_in(), table);
    }

    #[test]
    fn the_longest_beginning_of_whole_words_wins() {
        let table = table();
        let output = |model: &str| table.price(model).map(|price| price.output);
        assert_eq!(output("m-5"), Some(10_000_000));
        assert_eq!(output("m-5-2026-01-01"), Some(10_000_000));
        assert_eq!(output("m-5:latest"), Some(10_000_000));
        assert_eq!(output("m-5-mini-2026"), Some(7));
        assert_eq!(output("m-5.5"), Some(1), "another version is not a word of this name");
        assert_eq!(output("m-55"), Some(1));
        assert_eq!(output("m-5-secret-2"), None, "it is known that its price is not");
        assert_eq!(output("mm"), None);
        assert_eq!(output("M-5"), None);
        assert_eq!(output(""), None);
    }

    #[test]
    fn cached_tokens_have_their_own_price_and_the_rest_is_rounded_up_once() {
        let table = table();
        // 1000 × 1.25 + 3000 × 0.125 + 200 × 10 = 3625 exactly.
        assert_eq!(table.cost(Some("m-5"), &usage(4_000, Some(3_000), 200)), Some(3_625));
        // 2 × 3 + 1 × 1 + 1 × 7 = 14 millionths of a millionth.
        assert_eq!(table.cost(Some("m-5-mini"), &usage(3, Some(1), 1)), Some(1));
        assert_eq!(table.cost(Some("m-5-mini"), &usage(1_000_000, None, 0)), Some(3));
        assert_eq!(table.cost(Some("m-5-mini"), &usage(1_000_001, None, 0)), Some(4));
        assert_eq!(table.cost(Some("m"), &usage(10, Some(99), 0)), Some(1), "no more is cached than was sent");
    }

    #[test]
    fn what_is_not_known_costs_an_unknown_amount_and_nothing_costs_nothing() {
        let table = table();
        assert_eq!(table.cost(Some("other"), &usage(1, None, 1)), None);
        assert_eq!(table.cost(None, &usage(1, None, 1)), None);
        assert_eq!(table.cost(Some("m"), &Usage::default()), None);
        assert_eq!(table.cost(Some("m"), &Usage { input_tokens: Some(9), ..Usage::default() }), None);
        assert_eq!(table.cost(Some("other"), &usage(0, Some(0), 0)), Some(0));
    }

    #[test]
    fn a_bad_table_is_refused_with_entry_and_field() {
        for (bad, named) in [
            ("[", &["JSON"][..]),
            ("[]", &["object"]),
            (r#"{}"#, &["\"prices\""]),
            (r#"{"prices": [], "date": 5}"#, &["\"date\""]),
            (r#"{"prices": [], "dates": "x"}"#, &["\"dates\""]),
            (r#"{"prices": [5]}"#, &["entry 1"]),
            (r#"{"prices": [{"input": 1, "output": 1}]}"#, &["entry 1", "\"model\""]),
            (r#"{"prices": [{"model": " ", "input": 1, "output": 1}]}"#, &["entry 1", "\"model\""]),
            (
                r#"{"prices": [{"model": "m", "input": 1, "output": 1}, {"model": "n", "input": 1}]}"#,
                &["entry 2", "\"n\"", "\"output\""],
            ),
            (r#"{"prices": [{"model": "m", "input": 1.5, "output": 1}]}"#, &["\"m\"", "\"input\""]),
            (r#"{"prices": [{"model": "m", "input": -1, "output": 1}]}"#, &["\"m\"", "\"input\""]),
            (r#"{"prices": [{"model": "m", "input": "1", "output": 1}]}"#, &["\"m\"", "\"input\""]),
            (r#"{"prices": [{"model": "m", "input": 1000000000001, "output": 1}]}"#, &["\"m\"", "\"input\""]),
            (r#"{"prices": [{"model": "m", "input": null, "output": 1}]}"#, &["\"m\"", "\"input\""]),
            (r#"{"prices": [{"model": "m", "input": 1, "cached_input": null, "output": 1}]}"#, &["\"cached_input\""]),
            (r#"{"prices": [{"model": "m", "input": 1, "output": 1, "cached": 1}]}"#, &["\"m\"", "\"cached\""]),
            (
                r#"{"prices": [{"model": "m", "input": 1, "output": 1}, {"model": "m", "input": 1, "output": 1}]}"#,
                &["entry 2", "\"m\"", "twice"],
            ),
        ] {
            let refused = PriceTable::parse(bad).expect_err(bad).to_string();
            assert!(named.iter().all(|part| refused.contains(part)), "{bad}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn a_cost_is_the_least_whole_amount_that_pays_for_it(
            input in 0_u64..1 << 40, cached in 0_u64..1 << 41, output in 1_u64..1 << 40,
        ) {
            let table = table();
            let cost = table.cost(Some("m-5"), &usage(input, Some(cached), output)).unwrap();
            let price = table.price("m-5").unwrap();
            let cached = cached.min(input);
            let exact = u128::from(input - cached) * u128::from(price.input)
                + u128::from(cached) * u128::from(price.cached_input)
                + u128::from(output) * u128::from(price.output);
            prop_assert!(u128::from(cost) * TOKENS >= exact && u128::from(cost - 1) * TOKENS < exact);
        }

        #[test]
        fn no_number_of_tokens_is_too_many(input in any::<u64>(), cached in any::<u64>(), output in any::<u64>()) {
            let cost = table().cost(Some("big"), &usage(input, Some(cached), output)).unwrap();
            prop_assert!(i64::try_from(cost).is_ok());
        }
    }
}
