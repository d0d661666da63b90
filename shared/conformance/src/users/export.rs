//! An export has everything, once.

use std::collections::BTreeMap;

use chrono::{SubsecRound as _, TimeDelta};
use parlance_shared::{
    UserId,
    port::users::{Exported, UserCounts},
};

use super::{Life, Ports};

pub(super) async fn export(ports: &Ports, user: &UserId) -> (Vec<Exported>, usize) {
    let (mut lines, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = ports.users.export(user, after.as_ref()).await.unwrap();
        lines.extend(page.lines);
        pages += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => return (lines, pages),
        }
    }
}

fn kinds(lines: &[Exported]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for line in lines {
        let json = serde_json::to_value(line).unwrap();
        *kinds.entry(json["kind"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    kinds
}

/// Of every kind, with every text, and nothing of anybody else's.
pub async fn an_export_has_everything_once(ports: Ports) {
    let (life, other) = (Life::lived(&ports).await, Life::lived(&ports).await);
    let (hidden, hidden_at) = (life.messages[1].task_id, life.messages[1].accepted_at.trunc_subsecs(3));
    ports.store.hide_response(&life.user, hidden, hidden_at).await.unwrap();
    let (lines, _) = export(&ports, &life.user).await;
    let told = lines.iter().filter_map(|line| match line {
        Exported::Task { hidden_at: Some(at), task, .. } => Some((task.id, *at)),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(hidden, hidden_at)], "that a response was deleted");
    let expected = [
        ("branch", 1),
        ("checkpoint", 1),
        ("message", 4),
        ("session", 1),
        ("summary", 1),
        ("task", 2),
        ("turn", 2),
        ("user", 1),
    ];
    assert_eq!(kinds(&lines), expected.map(|(kind, count)| (kind.to_owned(), count)).into_iter().collect());
    let all = serde_json::to_string(&lines).unwrap();
    for text in ["heading", "instructions", "message", "reply", "part", "model", "fingerprint", "summary", "refused"] {
        let text = format!("{text} {}", life.marker);
        assert!(all.contains(&text), "{text:?} is missing in {all}");
    }
    assert!(all.contains(&format!("[\\\"{}\\\"]", life.marker)), "the tool's arguments");
    assert!(!all.contains(&other.marker) && !all.contains(other.user.as_str()));
    let again: Vec<Exported> = serde_json::from_str(&all).unwrap();
    assert_eq!(again, lines, "it goes over a socket unchanged");
    let counts =
        UserCounts { sessions: 1, messages: 4, tasks: 2, summaries: 1, branches: 1, turns: 2, checkpoints: 1, keys: 0 };
    assert_eq!(ports.users.count(&life.user).await.unwrap(), counts);
    let nobody = UserId::new(format!("not {}", life.user));
    assert_eq!(export(&ports, &nobody).await.0, []);
    assert_eq!(ports.users.count(&nobody).await.unwrap(), UserCounts::default());
}

/// However much there is, a page is bounded, and no line is lost or doubled between two.
pub async fn long_exports_come_in_pages(ports: Ports) {
    let life = Life::lived(&ports).await;
    let mut expected = vec![life.messages[0].content.clone(), life.messages[1].content.clone()];
    for n in 0..450 {
        let mut message = life.message(life.messages[1].accepted_at + TimeDelta::milliseconds(n), None);
        // The last ones fill pages by their length.
        message.content = if n < 440 { format!("{n}") } else { format!("{n} {}", "x".repeat(1 << 20)) };
        expected.push(message.content.clone());
        ports.store.record_message_submitted(&message).await.unwrap();
    }
    let (lines, pages) = export(&ports, &life.user).await;
    assert!(pages > 5, "{pages}");
    let mut said: Vec<String> = Vec::new();
    let mut tasks = 0;
    for line in lines {
        match line {
            Exported::Message { role: parlance_shared::message::Role::User, content, .. } => said.push(content),
            Exported::Task { .. } => tasks += 1,
            _ => {}
        }
    }
    said.sort_unstable();
    expected.sort_unstable();
    assert!(said == expected, "{} of {}", said.len(), expected.len());
    assert_eq!(tasks, 452);
}
