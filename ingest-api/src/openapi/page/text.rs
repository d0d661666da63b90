//! Text as HTML: escaped, with paragraphs, lists and `code`.

use std::fmt::Write as _;

use serde_json::Value;

/// Safe between tags and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A description, if there is one.
pub(super) fn prose(html: &mut String, text: &Value) {
    for block in text.as_str().unwrap_or_default().split("\n\n").filter(|block| !block.trim().is_empty()) {
        if block.starts_with("- ") {
            html.push_str("<ul>");
            for item in block.trim_start_matches("- ").split("\n- ") {
                let _ = write!(html, "<li>{}</li>", inline(item));
            }
            html.push_str("</ul>");
        } else {
            let _ = write!(html, "<p>{}</p>", inline(block));
        }
    }
}

/// What stands between backticks is code.
fn inline(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(n, part)| match n % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", escape(part)),
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_a_tag() {
        let mut html = String::new();
        prose(&mut html, &"a <b> `\"c\" & 'd'`\n\n- one\n- `two`".into());
        let code = "<code>&quot;c&quot; &amp; &#39;d&#39;</code>";
        assert_eq!(html, format!("<p>a &lt;b&gt; {code}</p><ul><li>one</li><li><code>two</code></li></ul>"));
    }
}
