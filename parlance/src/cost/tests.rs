use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};

fn cost(line: &str) -> Cost {
    let line = ["parlance", "cost"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(line).unwrap().command {
        Some(Command::Cost(cost)) => cost,
        other => panic!("{other:?}"),
    }
}

fn refusal(line: &str) -> String {
    let line = ["parlance", "cost"].into_iter().chain(line.split_whitespace());
    Cli::try_parse_from(line).unwrap_err().to_string()
}

fn estimate(line: &str, deployment: Deployment) -> estimate::Estimate {
    let prices = CloudPrices::read(None).unwrap();
    cost(line).basis(&PriceTable::built_in(), &prices).unwrap().estimate(deployment)
}

fn text(line: &str) -> String {
    let prices = CloudPrices::read(None).unwrap();
    let models = PriceTable::built_in();
    report::text(&cost(line).basis(&models, &prices).unwrap(), &models)
}

#[track_caller]
fn about(actual: f64, expected: f64) {
    assert!((actual - expected).abs() < 0.005, "{actual} is not {expected}");
}

/// By hand: what the parts of a small deployment cost that stay the same however it is run.
#[test]
fn parts_are_as_calculated_by_hand() {
    use estimate::Part;
    let of = |part| estimate("--messages-per-day 1000 --database db-custom-2-7680 --ha", Deployment::PushZero).of(part);
    // 1,000 × 730 / 24 messages × (1,500 × $0.25 + 300 × $2) / 1,000,000.
    about(of(Part::LanguageModel), 30_416.667 * 0.000_975);
    // 730 h × 2 × (2 × $0.0413 + 7.5 × $0.007) + 10 GiB × (2 × $0.17 + $0.08).
    about(of(Part::Database), 730.0 * 2.0 * (0.0826 + 0.0525) + 10.0 * 0.42);
    // 30,417 × (3 × 1,400 + 2 × 2,200 B) is less than 10 GiB; 7,000 × 8,600 B are kept, at $0.27.
    about(of(Part::PubSub), 7_000.0 * 8_600.0 / 1_073_741_824.0 * 0.27);
    // 30,417 × (300 × 70 + 3,000 + 1,500 × 4 B) at $0.12 for a GiB.
    about(of(Part::Network), 30_416.667 * 30_000.0 / 1_073_741_824.0 * 0.12);
    about(of(Part::Logs), 0.0);
    // Fewer secrets than are free; 1 GiB of images, half of it free.
    about(of(Part::Rest), 0.05);
}

/// 1,000 messages in 12 h, each open for 1 s + 300 / 50 s.
#[test]
fn open_requests_are_billed_and_no_more() {
    use estimate::Part;
    let zero = estimate("--messages-per-day 1000", Deployment::PushZero);
    let open = 1_000.0 / 43_200.0 * 7.0;
    let seconds = (1.0 - f64::exp(-open)) * 43_200.0 * 730.0 / 24.0;
    // 1 vCPU, half a GiB, a request.
    let expected = seconds * (0.000_024 + 0.5 * 0.000_002_5) + 30_416.667 / 1e6 * 0.4;
    about(zero.of(Part::LlmWorker), expected);
    // Kept, it idles for the rest of the month.
    let idle = 2_628_000.0 - seconds;
    let warm = estimate("--messages-per-day 1000", Deployment::PushWarm);
    about(warm.of(Part::LlmWorker), expected + idle * (0.000_002_5 + 0.5 * 0.000_002_5));
    // Always with CPU: the whole month.
    let always = estimate("--messages-per-day 1000", Deployment::PushAlways);
    about(always.of(Part::LlmWorker), 2_628_000.0 * (0.000_018 + 0.5 * 0.000_002));
    let pull = estimate("--messages-per-day 1000 --min-instances 2", Deployment::Pull);
    about(pull.of(Part::LlmWorker), 2.0 * 2_628_000.0 * (0.000_011_244 + 0.5 * 0.000_001_235));
    about(
        pull.of(Part::IngestApi),
        estimate("--messages-per-day 1000 --min-instances 2", Deployment::PushWarm).of(Part::IngestApi),
    );
}

/// In a region of tier 2 the free amounts are worth what they are in tier 1, and no more than what is used.
#[test]
fn free_amounts_are_a_discount_at_the_prices_of_tier_1() {
    use estimate::Part;
    let free = |line: &str, deployment| estimate(line, deployment).of(Part::CloudRunFree);
    let all = -(180_000.0 * 0.000_024 + 360_000.0 * 0.000_002_5 + 2.0 * 0.4);
    about(free("--messages-per-day 1000000", Deployment::PushZero), all);
    about(free("--messages-per-day 1000000 --region-tier 2", Deployment::PushZero), all);
    about(free("--messages-per-day 0", Deployment::PushZero), 0.0);
    about(free("--messages-per-day 1000000 --without-free-amounts", Deployment::PushZero), 0.0);
    about(free("", Deployment::PushAlways), -(240_000.0 * 0.000_018 + 450_000.0 * 0.000_002));
    let small = estimate("--messages-per-day 10", Deployment::PushZero);
    let run: f64 = [Part::IngestApi, Part::LlmWorker, Part::PersistWorker, Part::CloudRunFree]
        .map(|part| small.of(part))
        .iter()
        .sum();
    about(run, 0.0);
}

#[test]
fn nothing_to_do_costs_what_stands_still() {
    use estimate::Part;
    let nothing = estimate("--messages-per-day 0", Deployment::PushZero);
    for part in [
        Part::LanguageModel,
        Part::IngestApi,
        Part::LlmWorker,
        Part::PersistWorker,
        Part::PubSub,
        Part::Network,
        Part::Logs,
    ] {
        about(nothing.of(part), 0.0);
    }
    // 730 h × ($0.0413 + 3.75 × $0.007) + 10 × $0.25; twelve alerts, half a GiB of images.
    about(nothing.total(), 730.0 * 0.067_55 + 2.5 + 1.2 + 0.05);
    let said = text("--messages-per-day 0");
    assert!(!said.contains("for 1,000 messages") && !said.contains("NaN") && !said.contains("inf"), "{said}");
    let free = estimate("--messages-per-day 5 --model none --input-tokens 0 --output-tokens 0", Deployment::Pull);
    about(free.of(Part::LanguageModel), 0.0);
}

/// Every combination of some values along each scale.
#[test]
fn more_never_costs_less() {
    let scales: [(&str, &[&str]); 8] = [
        ("--messages-per-day", &["0", "1", "999", "40000", "3000000", "100000000"]),
        ("--input-tokens", &["0", "1000", "10000000"]),
        ("--output-tokens", &["0", "100", "101", "1000000"]),
        ("--min-instances", &["1", "2", "50"]),
        ("--region-tier", &["1", "2"]),
        ("--database", &["db-f1-micro", "db-g1-small", "db-custom-1-3840", "db-custom-4-15360"]),
        ("--database-gib", &["10", "11", "5000"]),
        ("--first-token-seconds", &["0", "2.5", "600"]),
    ];
    for base in ["", "--messages-per-day 250000 --ha", "--messages-per-day 12 --without-free-amounts --vcpus 2"] {
        for (flag, values) in scales {
            if base.contains(flag) {
                continue;
            }
            for deployment in Deployment::ALL {
                let totals: Vec<f64> = values
                    .iter()
                    .map(|value| estimate(&format!("{base} {flag} {value}"), deployment).total())
                    .collect();
                assert!(
                    totals.is_sorted() && totals.iter().all(|total| total.is_finite()),
                    "{base} {flag} {deployment:?}: {totals:?}"
                );
            }
        }
        let [zero, warm] =
            [Deployment::PushZero, Deployment::PushWarm].map(|deployment| estimate(base, deployment).total());
        assert!(zero <= warm, "what is kept is paid for: {zero}, {warm}");
    }
}

/// Each saves what is said, and no fourth would save more.
#[test]
fn levers_save_what_they_say() {
    let prices = CloudPrices::read(None).unwrap();
    let models = PriceTable::built_in();
    let line = "--messages-per-day 20000 --ha --database db-custom-2-7680 --min-instances 2 --model gpt-5";
    let cost_of = |line: &str| estimate(line, Deployment::PushWarm).total();
    let named = levers::levers(&cost(line).basis(&models, &prices).unwrap(), Deployment::PushWarm, &models);
    assert_eq!(named.len(), 3);
    assert!(named.is_sorted_by(|a, b| a.saves >= b.saves), "{named:?}");
    let smaller = named.iter().find(|lever| lever.what.starts_with("gpt-5-mini ")).unwrap();
    about(smaller.saves, cost_of(line) - cost_of(&line.replace("gpt-5", "gpt-5-mini")));
    // Where the model costs nothing, the database is what can be saved at.
    let line = "--messages-per-day 10 --ha --database db-custom-2-7680 --model none";
    let named = levers::levers(&cost(line).basis(&models, &prices).unwrap(), Deployment::PushWarm, &models);
    assert!(named[0].what.starts_with("no standby"), "{named:?}");
    about(named[0].saves, cost_of(line) - cost_of(&line.replace("--ha ", "")));
    // There is nothing to save where nothing is spent.
    let line = "--messages-per-day 0 --database db-f1-micro --model none";
    let named = levers::levers(&cost(line).basis(&models, &prices).unwrap(), Deployment::PushZero, &models);
    assert!(named.is_empty(), "{named:?}");
}

#[test]
fn wrong_input_is_refused_with_its_flag_and_what_is_accepted() {
    for (line, parts) in [
        ("--messages-per-day -1", &["--messages-per-day"][..]),
        ("--messages-per-day many", &["--messages-per-day", "many"]),
        ("--messages-per-day 100000001", &["--messages-per-day", "0..=100000000"]),
        ("--region-tier 3", &["--region-tier", "1..=2"]),
        ("--min-instances 0", &["--min-instances", "1..=1000"]),
        ("--tokens-per-second 0", &["--tokens-per-second", "from 1 to 100000"]),
        ("--tokens-per-second NaN", &["--tokens-per-second", "from 1 to 100000"]),
        ("--first-token-seconds inf", &["--first-token-seconds", "from 0 to 600"]),
        ("--database large", &["--database", "db-f1-micro", "db-custom-VCPUS-MEBIBYTES"]),
        ("--database db-custom-0-3840", &["--database", "1 to 96"]),
        ("--deployment somehow", &["--deployment", "push-zero", "pull"]),
        ("--hours-of-use 25", &["--hours-of-use", "1..=24"]),
    ] {
        let refused = refusal(line);
        assert!(parts.iter().all(|part| refused.contains(part)), "{line}: {refused}");
    }
    let prices = CloudPrices::read(None).unwrap();
    let unknown = cost("--model gpt-99").basis(&PriceTable::built_in(), &prices).unwrap_err();
    assert!(
        ["--model", "\"gpt-99\"", "gpt-5-mini", "none", "PRICES_FILE"].iter().all(|part| unknown.contains(part)),
        "{unknown}"
    );
}

#[test]
fn a_table_of_ones_own_is_used_or_refused_with_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.json");
    let table = include_str!("../../cloud-prices.json");
    std::fs::write(&file, table.replace("\"egress_gib\": 0.12", "\"egress_gib\": 12")).unwrap();
    let dear = CloudPrices::read(Some(&file)).unwrap();
    let models = PriceTable::built_in();
    let network = |prices: &CloudPrices| {
        cost("").basis(&models, prices).unwrap().estimate(Deployment::Pull).of(estimate::Part::Network)
    };
    about(network(&dear), 100.0 * network(&CloudPrices::read(None).unwrap()));
    for (from, to, named) in [
        ("\"egress_gib\": 0.12", "\"egress_gib\": -1", "not an amount"),
        ("\"egress_gib\": 0.12", "\"egress_gib\": \"0.12\"", "invalid type"),
        ("\"egress_gib\": 0.12", "\"egress\": 0.12", "`egress`"),
        ("\"date\": \"2026-11-21\",", "", "`date`"),
        ("{", "", "line 2"),
    ] {
        std::fs::write(&file, table.replacen(from, to, 1)).unwrap();
        let refused = CloudPrices::read(Some(&file)).unwrap_err();
        assert!(refused.contains(named) && refused.starts_with("--prices "), "{to}: {refused}");
    }
    let refused = CloudPrices::read(Some(&folder.path().join("none.json"))).unwrap_err();
    assert!(refused.contains("none.json"), "{refused}");
}

#[test]
fn json_has_what_the_table_has() {
    let prices = CloudPrices::read(None).unwrap();
    let models = PriceTable::built_in();
    let basis = cost("--deployment pull --json").basis(&models, &prices).unwrap();
    let json = report::json(&basis, &models);
    let pull = &json["deployments"][3];
    assert_eq!((&pull["deployment"], json["levers"].as_array().unwrap().len()), (&"pull".into(), 3));
    let parts: f64 = pull["parts"].as_object().unwrap().values().map(|usd| usd.as_f64().unwrap()).sum();
    assert!((parts - pull["total_usd"].as_f64().unwrap()).abs() < 0.06, "{pull}");
    assert_eq!(json["prices"]["sources"].as_array().unwrap().len(), 7);
    assert_eq!(json["inputs"]["model"], "gpt-5-mini");
    assert_eq!(json["dominates"].as_array().unwrap().len(), 3);
}

/// The examples are what the command prints. `PARLANCE_UPDATE_DOCS=1` writes them anew.
#[test]
fn the_examples_of_the_documentation_are_what_is_printed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cost.md");
    let written = std::fs::read_to_string(path).unwrap();
    let (mut made, mut examples) = (String::new(), 0);
    for (index, piece) in written.split("```").enumerate() {
        // Every other piece is within a fence.
        let example = piece.strip_prefix("console\n$ parlance cost").filter(|_| index % 2 == 1);
        let fence = if index == 0 { "" } else { "```" };
        match example.and_then(|rest| rest.split_once('\n')) {
            Some((line, _)) => {
                examples += 1;
                made += &format!("{fence}console\n$ parlance cost{line}\n{}", text(line));
            }
            None => made += &format!("{fence}{piece}"),
        }
    }
    assert!(examples >= 2, "docs/cost.md has examples");
    if std::env::var_os("PARLANCE_UPDATE_DOCS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    assert_eq!(made, written, "docs/cost.md is not what the command prints");
}
