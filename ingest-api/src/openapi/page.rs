//! The document as a page: what each operation takes and gives, with a line for curl, and what each schema looks like.
//! Plain HTML with anchors; made once, and nothing in it comes from a caller.

mod schema;
mod text;

use std::fmt::Write as _;

use serde_json::{Map, Value};

use self::{
    schema::{fields, kind},
    text::{escape, prose},
};
use super::finish::METHODS;

/// The page.
pub(super) fn page(document: &Value) -> String {
    let mut html = String::with_capacity(256 * 1024);
    let title = escape(document["info"]["title"].as_str().unwrap_or_default());
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{title} API</title><style>{}</style></head><body>",
        include_str!("page/page.css")
    );
    let operations = operations(document);
    contents(&mut html, document, &operations);
    let _ = write!(html, "<main><h1>{title} API</h1>");
    prose(&mut html, &document["info"]["description"]);
    html.push_str(
        "<p>The same for programs: <a href=\"/openapi.json\"><code>/openapi.json</code></a> (OpenAPI 3.1).</p>",
    );
    security(&mut html, document);
    for tag in tags(document) {
        let name = tag["name"].as_str().unwrap_or_default();
        let _ = write!(html, "<h2 id=\"tag-{0}\">{0}</h2>", escape(name));
        prose(&mut html, &tag["description"]);
        for operation in operations.iter().filter(|operation| operation.tag == name) {
            operation.write(&mut html, document);
        }
    }
    html.push_str("<h2 id=\"schemas\">schemas</h2>");
    for (name, schema) in object(&document["components"]["schemas"]) {
        let _ = write!(html, "<section id=\"schema-{0}\"><h3>{0}</h3>", escape(name));
        prose(&mut html, &schema["description"]);
        fields(&mut html, schema);
        html.push_str("</section>");
    }
    html.push_str("</main></body></html>\n");
    html
}

struct Operation<'a> {
    id: &'a str,
    tag: &'a str,
    method: &'a str,
    path: &'a str,
    what: &'a Value,
}

/// In the order of their paths; webhooks, which are calls of ours to others, come under their name.
fn operations(document: &Value) -> Vec<Operation<'_>> {
    let items = object(&document["paths"]).chain(object(&document["webhooks"]));
    let each = items.flat_map(|(path, item)| {
        METHODS.into_iter().filter_map(move |method| {
            let what = item.get(method)?;
            let id = what["operationId"].as_str().unwrap_or_default();
            Some(Operation { id, tag: what["tags"][0].as_str().unwrap_or_default(), method, path, what })
        })
    });
    each.collect()
}

fn tags(document: &Value) -> impl Iterator<Item = &Value> {
    document["tags"].as_array().into_iter().flatten()
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn contents(html: &mut String, document: &Value, operations: &[Operation]) {
    html.push_str("<nav>");
    for tag in tags(document) {
        let name = tag["name"].as_str().unwrap_or_default();
        let _ = write!(html, "<a class=\"tag\" href=\"#tag-{0}\">{0}</a>", escape(name));
        for Operation { id, method, path, .. } in operations.iter().filter(|operation| operation.tag == name) {
            let _ = write!(html, "<a href=\"#{}\"><b class=\"{method}\">{method}</b> {}</a>", escape(id), escape(path));
        }
    }
    html.push_str("<a class=\"tag\" href=\"#schemas\">schemas</a>");
    for (name, _) in object(&document["components"]["schemas"]) {
        let _ = write!(html, "<a href=\"#schema-{0}\">{0}</a>", escape(name));
    }
    html.push_str("</nav>");
}

fn security(html: &mut String, document: &Value) {
    let schemes: Vec<_> = object(&document["components"]["securitySchemes"]).collect();
    if schemes.is_empty() {
        return;
    }
    html.push_str("<h2 id=\"security\">credentials</h2><dl>");
    for (name, scheme) in schemes {
        let _ = write!(html, "<dt><code>{}</code></dt><dd>", escape(name));
        prose(html, &scheme["description"]);
        html.push_str("</dd>");
    }
    html.push_str("</dl>");
}

impl Operation<'_> {
    fn write(&self, html: &mut String, document: &Value) {
        let Self { id, method, path, what, .. } = self;
        let (id, path) = (escape(id), escape(path));
        let _ = write!(
            html,
            "<section id=\"{id}\"><h3><a href=\"#{id}\"><b class=\"{method}\">{method}</b> <code>{path}</code></a></h3>"
        );
        let _ = write!(html, "<p><strong>{}</strong></p>", escape(what["summary"].as_str().unwrap_or_default()));
        prose(html, &what["description"]);
        self.parameters(html, document);
        if let Some(content) = what["requestBody"]["content"].as_object() {
            html.push_str("<h4>body</h4>");
            content.iter().for_each(|(media_type, body)| media(html, media_type, body, document));
        }
        let _ = write!(html, "<h4>with curl</h4><pre>{}</pre>", escape(&self.curl()));
        html.push_str("<h4>answers</h4>");
        for (status, response) in object(&what["responses"]) {
            let response = resolved(document, response);
            let _ = write!(html, "<div class=\"answer\"><b class=\"s{}\">{status}</b>", &status[..1]);
            prose(html, &response["description"]);
            for (name, header) in object(&response["headers"]) {
                let header = resolved(document, header);
                let about = escape(header["description"].as_str().unwrap_or_default());
                let _ = write!(html, "<p class=\"header\"><code>{}</code> {about}</p>", escape(name));
            }
            object(&response["content"]).for_each(|(media_type, body)| media(html, media_type, body, document));
            html.push_str("</div>");
        }
        html.push_str("</section>");
    }

    fn parameters(&self, html: &mut String, document: &Value) {
        let parameters: Vec<_> = self.what["parameters"].as_array().into_iter().flatten().collect();
        if parameters.is_empty() {
            return;
        }
        html.push_str("<h4>parameters</h4><table>");
        for parameter in parameters.into_iter().map(|parameter| resolved(document, parameter)) {
            let text = |key: &str| escape(parameter[key].as_str().unwrap_or_default());
            let needed = if parameter["required"] == true { ", required" } else { "" };
            let (name, place, kind) = (text("name"), text("in"), kind(&parameter["schema"]));
            let _ = write!(html, "<tr><td><code>{name}</code><td>{place}{needed}<td>{kind}<td>");
            prose(html, &parameter["description"]);
        }
        html.push_str("</table>");
    }

    /// As it would be typed beside a server on this machine.
    fn curl(&self) -> String {
        let mut path = self.path.to_owned();
        for (name, id) in super::examples::PATH_IDS {
            path = path.replace(&format!("{{{name}}}"), id);
        }
        let mut line = String::from("curl");
        let streams = object(&self.what["responses"]["200"]["content"]).any(|(kind, _)| kind == "text/event-stream");
        if streams {
            line.push_str(" -N");
        }
        if self.method != "get" {
            let _ = write!(line, " -X {}", self.method.to_uppercase());
        }
        let _ = write!(line, " http://localhost:8080{path}");
        if let Some(example) = example(&self.what["requestBody"]["content"]["application/json"]) {
            // Within single quotes the shell leaves all but these alone.
            let body = example.to_string().replace('\'', "'\\''");
            let _ = write!(line, " \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'");
        }
        line
    }
}

fn example(media: &Value) -> Option<&Value> {
    let first = || media["examples"].as_object()?.values().next()?.get("value");
    media.get("example").or_else(first)
}

fn media(html: &mut String, media_type: &str, media: &Value, document: &Value) {
    let _ = write!(html, "<p><code>{}</code> {}</p>", escape(media_type), kind(&media["schema"]));
    let one = media.get("example").map(|value| (None, value.clone()));
    let several = object(&media["examples"])
        .map(|(name, example)| (Some(name.as_str()), resolved(document, example)["value"].clone()));
    for (name, value) in one.into_iter().chain(several) {
        let text = match value {
            Value::String(text) => text,
            other => serde_json::to_string_pretty(&other).unwrap_or_default(),
        };
        let name = escape(name.unwrap_or("example"));
        let _ = write!(html, "<details><summary>{name}</summary><pre>{}</pre></details>", escape(&text));
    }
}

/// What a reference leads to.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let path = value["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
    path.and_then(|path| document.pointer(path)).unwrap_or(value)
}
