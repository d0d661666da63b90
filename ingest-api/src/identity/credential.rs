//! The credential that a request carries: `X-API-Key`, or else `Authorization: Bearer` with a key or a token, as OpenAI's
//! clients send their key.

use http::{HeaderMap, HeaderName, header};
use parlance_shared::key_mint::KEY_PREFIX;

use crate::problem::{Code, Problem};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a caller shows. Never logged, never sent back.
#[derive(PartialEq, Eq)]
pub(super) struct Credential<'a> {
    pub(super) text: &'a str,
    pub(super) kind: Kind,
    /// Where it was.
    pub(super) header: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    Token,
}

impl<'a> Credential<'a> {
    /// The one that counts; without any, the 401.
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Self, Problem> {
        if let Some(text) = single(headers, &API_KEY, "X-API-Key")? {
            return Ok(Self { text, kind: Kind::Key, header: "X-API-Key" });
        }
        let Some(value) = single(headers, &header::AUTHORIZATION, "Authorization")? else {
            return Err(Problem::new(
                Code::Unauthenticated,
                "This call needs a credential: a key in `X-API-Key`, or a key or token in `Authorization: Bearer …`.",
            ));
        };
        let text = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some(text) = text.map(|(_, text)| text.trim()).filter(|text| !text.is_empty()) else {
            return Err(Problem::with_field(
                "Authorization",
                Code::Unauthenticated,
                "the header is not of the scheme Bearer.",
                &["Bearer, a space, and a key or token"],
            ));
        };
        let kind = if text.starts_with(KEY_PREFIX) { Kind::Key } else { Kind::Token };
        Ok(Self { text, kind, header: "Authorization" })
    }

    /// The 403. `why` is a sentence about what was shown.
    pub(super) fn refused(&self, why: &'static str) -> Problem {
        Problem::with_field(self.header, Code::InvalidCredential, why, &[])
    }

    /// Whether a request has one at all.
    pub(super) fn is_in(headers: &HeaderMap) -> bool {
        headers.contains_key(API_KEY) || headers.contains_key(header::AUTHORIZATION)
    }
}

/// The header's value; an empty one is none, and two are as good as a lie.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    written: &'static str,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::with_field(written, Code::InvalidHeader, "the header is given twice.", &[]));
    }
    let Ok(text) = value.to_str() else {
        return Err(Problem::with_field(written, Code::InvalidHeader, "the header is not plain ASCII.", &[]));
    };
    Ok(Some(text.trim()).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[(&'static str, &'static str)]) -> Result<(String, Kind, &'static str), Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let credential = Credential::of(&headers).map_err(|problem| problem.code())?;
        Ok((credential.text.to_owned(), credential.kind, credential.header))
    }

    #[test]
    fn the_keys_header_comes_first() {
        let token = ("authorization", "Bearer a.b.c");
        assert_eq!(read(&[token]), Ok(("a.b.c".into(), Kind::Token, "Authorization")));
        assert_eq!(read(&[token, ("x-api-key", "plk_1")]), Ok(("plk_1".into(), Kind::Key, "X-API-Key")));
        assert_eq!(read(&[("authorization", "bearer  plk_1")]), Ok(("plk_1".into(), Kind::Key, "Authorization")));
        assert_eq!(read(&[("x-api-key", ""), token]), Ok(("a.b.c".into(), Kind::Token, "Authorization")));
    }

    #[test]
    fn anything_else_is_none() {
        for lines in
            [&[][..], &[("authorization", "Basic dTpw")], &[("authorization", "Bearer ")], &[("x-api-key", " ")]]
        {
            assert_eq!(read(lines), Err(Code::Unauthenticated), "{lines:?}");
        }
        assert_eq!(read(&[("x-api-key", "a"), ("x-api-key", "b")]), Err(Code::InvalidHeader));
        assert_eq!(read(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]), Err(Code::InvalidHeader));
    }
}
