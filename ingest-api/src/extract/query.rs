//! Query parameters: known ones, once each, in range.

use std::ops::RangeInclusive;

use parlance_shared::page::{PagePosition, PageRequest};

use crate::problem::{Code, Problem};

/// The parameters of one request.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part after `?`; refuses what is not in `accepted` or comes twice.
    pub(crate) fn parse(raw: Option<&str>, accepted: &[&str]) -> Result<Self, Problem> {
        let mut known: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            let name: String = name.chars().take(64).collect();
            if !accepted.contains(&name.as_str()) {
                let detail = if accepted.is_empty() {
                    "is not known; this call takes no parameters."
                } else {
                    "is not known to this call."
                };
                return Err(Problem::with_field(name, Code::UnknownParameter, detail, accepted));
            }
            if known.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Problem::with_field(name, Code::DuplicateParameter, "is given more than once.", &[]));
            }
            known.push((name, value.into_owned()));
        }
        Ok(Self(known))
    }

    /// For calls that take no parameters.
    pub(crate) fn none(raw: Option<&str>) -> Result<(), Problem> {
        Self::parse(raw, &[]).map(|_| ())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A whole number in `range`, or `default` when the parameter is absent.
    pub(crate) fn number(&self, name: &str, range: RangeInclusive<u32>, default: u32) -> Result<u32, Problem> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match digits.then(|| text.parse().ok()).flatten() {
            Some(number) if range.contains(&number) => Ok(number),
            _ => {
                let accepted = format!("a whole number from {} to {}", range.start(), range.end());
                let detail = format!("must be {accepted}.");
                Err(Problem::with_field(name, Code::InvalidParameter, detail, &[&accepted]))
            }
        }
    }

    /// A page of a list whose cursor comes in the parameter `cursor`.
    pub(crate) fn page(&self, cursor: &str) -> Result<PageRequest, Problem> {
        let from = match self.get(cursor) {
            None => None,
            Some(text) => Some(PagePosition::decode(text).filter(|at| is_id(&at.id)).ok_or_else(|| {
                let detail = "must be the `next` of an earlier page of this list.";
                Problem::with_field(cursor, Code::UnknownCursor, detail, &["the `next` of an earlier page"])
            })?),
        };
        Ok(PageRequest { limit: self.number("limit", 1..=200, 50)?, from })
    }
}

/// Lists are of what has an id, of whatever kind.
fn is_id(text: &str) -> bool {
    let is_hex = |digits: &str| digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    text.split_once('_').is_some_and(|(kind, digits)| kind.len() == 3 && is_hex(digits))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_query_gives_known_values_in_range_or_a_problem(raw in "[a-z0-9=&%+.\\-]{0,40}") {
            if let Ok(query) = Query::parse(Some(&raw), &["limit", "before"]) {
                prop_assert!(query.0.len() <= 2);
                if let Ok(page) = query.page("before") {
                    prop_assert!((1..=200).contains(&page.limit));
                    prop_assert_eq!(page.from.is_some(), query.get("before").is_some());
                }
            }
        }

        #[test]
        fn numbers_in_range_are_taken_and_all_others_refused(n in any::<i64>()) {
            let query = Query::parse(Some(&format!("limit={n}")), &["limit"]).unwrap();
            let number = query.number("limit", 1..=200, 50);
            prop_assert_eq!(number.is_ok(), (1..=200).contains(&n));
            prop_assert!(number.is_err() || number.is_ok_and(|taken| i64::from(taken) == n));
        }

        #[test]
        fn a_position_survives_the_way_through_a_query(at in 0_i64.., id in "[a-z]{3}_[0-9a-f]{32}") {
            let position = PagePosition { at, id };
            let raw: String = form_urlencoded::Serializer::new(String::new())
                .append_pair("before", &position.encode())
                .finish();
            let page = Query::parse(Some(&raw), &["before"]).unwrap().page("before");
            prop_assert_eq!(page.unwrap().from, Some(position));
        }
    }

    #[test]
    fn strange_numbers_are_refused() {
        for bad in ["", "0", "201", "-1", "%2B5", "5.0", "1e2", "99999999999999999999", "five", "٣", " 5", "0x5"] {
            let query = Query::parse(Some(&format!("limit={bad}")), &["limit"]).unwrap();
            assert!(query.number("limit", 1..=200, 50).is_err(), "{bad:?} was taken");
        }
        assert!(Query::parse(Some("limit=1&limit=1"), &["limit"]).is_err());
        assert!(Query::parse(Some("offset=1"), &["limit"]).is_err());
    }
}
