//! What lowers the bill most.

use parlance_shared::prices::{Price, PriceTable};

use super::{Cost, Database, deployment::Deployment, estimate::Basis};

/// A change, and the dollars that it saves in a month.
#[derive(Clone, Debug)]
pub(super) struct Lever {
    pub(super) what: String,
    pub(super) saves: f64,
}

/// How many are named.
const MOST: usize = 3;
/// What saves less is not worth a word.
const LEAST: f64 = 0.01;

/// The changes that save most, each by itself.
pub(super) fn levers(basis: &Basis<'_>, deployment: Deployment, models: &PriceTable) -> Vec<Lever> {
    let now = basis.estimate(deployment).total();
    let mut levers: Vec<Lever> = changes(basis, deployment, models)
        .into_iter()
        .map(|(what, changed, deployment)| Lever { what, saves: now - changed.estimate(deployment).total() })
        .filter(|lever| lever.saves >= LEAST)
        .collect();
    levers.sort_by(|a, b| b.saves.total_cmp(&a.saves));
    levers.truncate(MOST);
    levers
}

type Change<'a> = (String, Basis<'a>, Deployment);

fn changes<'a>(basis: &Basis<'a>, deployment: Deployment, models: &PriceTable) -> Vec<Change<'a>> {
    let cost = &basis.cost;
    let with = |cost: Cost| Basis { cost, ..basis.clone() };
    let mut changes = vec![
        (
            "prompts a third shorter (SUMMARY_TRIGGER_TOKENS, CONTEXT_TOKENS)".to_owned(),
            with(Cost { input_tokens: cost.input_tokens - cost.input_tokens / 3, ..cost.clone() }),
            deployment,
        ),
        (
            "replies a third shorter (ask for brevity in the instructions)".to_owned(),
            with(Cost { output_tokens: cost.output_tokens - cost.output_tokens / 3, ..cost.clone() }),
            deployment,
        ),
        (
            "no line for each request in the logs (an exclusion filter)".to_owned(),
            Basis { request_logs: false, ..basis.clone() },
            deployment,
        ),
    ];
    if let Some((model, price)) = basis.model.and_then(|price| one_step_down(&cost.model, price, cost, models)) {
        changes.push((format!("{model} as the model"), Basis { model: Some(price), ..basis.clone() }, deployment));
    }
    if cost.ha {
        let what = "no standby of the database (an outage of its zone stops replies; messages are still accepted)";
        changes.push((what.to_owned(), with(Cost { ha: false, ..cost.clone() }), deployment));
    }
    if let Some(database) = cost.database.one_step_down() {
        let what = format!("{database} as the database");
        changes.push((what, with(Cost { database, ..cost.clone() }), deployment));
    }
    if matches!(cost.database, Database::Custom { .. }) {
        let discount = basis.prices.cloud_sql.one_year_commitment_discount.0.min(1.0);
        let paid = Basis { database_share: 1.0 - discount, ..basis.clone() };
        changes.push(("the database committed to for a year".to_owned(), paid, deployment));
    }
    if deployment == Deployment::PushAlways {
        let what = "CPU only while requests are open (metrics come in less regularly)".to_owned();
        changes.push((what, basis.clone(), Deployment::PushWarm));
    }
    if deployment != Deployment::PushZero {
        let what = "instances only while there is work (a cold start for who comes first)".to_owned();
        changes.push((what, basis.clone(), Deployment::PushZero));
    }
    if cost.min_instances > 1 {
        let what = "one kept instance of each service".to_owned();
        changes.push((what, with(Cost { min_instances: 1, ..cost.clone() }), deployment));
    }
    changes
}

/// The dearest model of the same family that costs less.
fn one_step_down(model: &str, price: Price, cost: &Cost, models: &PriceTable) -> Option<(String, Price)> {
    let family: String = model.split('-').take(2).collect::<Vec<_>>().join("-");
    let each = |price: Price| {
        u128::from(cost.input_tokens) * u128::from(price.input)
            + u128::from(cost.output_tokens) * u128::from(price.output)
    };
    models
        .known()
        .filter(|(name, _)| name.split('-').take(2).collect::<Vec<_>>().join("-") == family)
        .filter(|(_, other)| each(*other) < each(price))
        .max_by_key(|(_, other)| each(*other))
        .map(|(name, other)| (name.to_owned(), other))
}
