//! Replies of 100 tokens to 20 clients of `/v1/chat/completions`, streaming, beside as many of the native API.

use std::time::Duration;

use super::{RUNS, Rig};
use crate::{
    Fallible,
    figure::{Figure, Judged},
    load::{self, Load, TURNS_PER_SESSION, Until},
    stats::median,
};

const LOAD: Load = Load {
    conversations: 20,
    tokens: 100,
    token_delay_ms: 0,
    pause_ms: 0,
    turns_per_session: TURNS_PER_SESSION,
    until: Until::Elapsed(Duration::from_secs(10)),
};

/// Run by run a server of its own for each, one after the other: what else the machine does hits both.
pub(super) async fn measure(rig: &Rig) -> Fallible<Vec<Figure>> {
    let (mut share, mut chat, mut native, mut straight) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        straight.push(load::straight_to_mock(rig.mock.address, LOAD).await?.rate());
        let server = rig.ready_server(&format!("chat-native-{run}")).await?;
        let through_native = load::through_parlance(server.address, LOAD).await?;
        load::wait_until_persisted(server.address, &through_native.sessions).await?;
        server.stop().await?;
        let server = rig.ready_server(&format!("chat-{run}")).await?;
        // The mock speaks the same protocol: what asks it asks Parlance as well.
        let through_chat = load::straight_to_mock(server.address, LOAD).await?;
        server.stop().await?;
        share.push(through_chat.rate() * 100.0 / through_native.rate());
        chat.push(through_chat.rate());
        native.push(through_native.rate());
    }
    let rates = format!("{:.0} replies/s beside {:.0} of the native API (medians)", median(&chat), median(&native));
    Ok(vec![Figure {
        name: "/v1/chat/completions streaming, 20 clients, of the native API's replies/s".to_owned(),
        unit: "%",
        mark: 80.0,
        judged: Judged::AtLeast,
        straight: straight.iter().zip(&native).map(|(straight, native)| straight * 100.0 / native).collect(),
        runs: share,
        notes: vec![rates],
    }])
}
