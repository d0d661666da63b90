//! Where an answer leads: to every operation that takes the ids that it gives.

use serde_json::{Map, Value, json};

use super::finish::METHODS;

/// Bodies, and where in them the ids of paths stand.
const GIVEN: [(&str, &[(&str, &str)]); 3] = [
    ("Accepted", &[("task_id", "/task_id"), ("session_id", "/session_id")]),
    ("Session", &[("session_id", "/id")]),
    ("Task", &[("task_id", "/id"), ("session_id", "/session_id")]),
];

/// Adds them to all answers.
pub(super) fn add(document: &mut Value) {
    let takers: Vec<(String, String)> = GIVEN[0]
        .1
        .iter()
        .flat_map(|(parameter, _)| takers(document, parameter).into_iter().map(|id| ((*parameter).to_owned(), id)))
        .collect();
    let operations = document["paths"].as_object_mut().into_iter().flatten();
    let operations = operations.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten());
    for (_, operation) in operations {
        for (_, response) in operation["responses"].as_object_mut().into_iter().flatten() {
            let body = response["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
            let Some((_, given)) = GIVEN.iter().find(|(name, _)| body.rsplit('/').next() == Some(name)) else {
                continue;
            };
            let links: Map<String, Value> = takers
                .iter()
                .filter_map(|(parameter, id)| {
                    let (_, place) = given.iter().find(|(known, _)| known == parameter)?;
                    let parameters = json!({parameter: format!("$response.body#{place}")});
                    Some((id.clone(), json!({"operationId": id, "parameters": parameters})))
                })
                .collect();
            response["links"] = Value::Object(links);
        }
    }
}

/// The operations whose path has this parameter.
fn takers(document: &Value, parameter: &str) -> Vec<String> {
    let part = format!("{{{parameter}}}");
    let paths = document["paths"].as_object().into_iter().flatten().filter(|(path, _)| path.contains(&part));
    let operations = paths.flat_map(|(_, item)| METHODS.into_iter().filter_map(|method| item.get(method)));
    operations.filter_map(|operation| operation["operationId"].as_str().map(str::to_owned)).collect()
}
