//! The services apart, as on Google Cloud: any number of each, on a real Postgres and Google's Pub/Sub emulator, with the
//! mock LLM. Where it is asked for, every process reaches both through proxies of its own, so that it alone can be cut off.

mod database;
mod emulator;
mod member;
mod own;
mod parts;
mod postgres;
mod servers;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
};

use tokio::task::JoinSet;

pub use self::{
    database::Database,
    emulator::{Emulator, PubSubMessage, Pulled},
    member::{Held, Member, Service},
    parts::Parts,
    postgres::{Ending, Postgres},
    servers::Servers,
};
use crate::{
    Fallible,
    process::{Process, Programs, ServiceOptions},
    proxy::Proxy,
};

/// Below the ports that Linux gives to outgoing connections: a client's connection must never sit on the port of a
/// service that is just being started again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What to start.
#[derive(Clone, Debug)]
pub struct CloudOptions {
    /// Processes of each service.
    pub of_each: usize,
    /// Whether proxies stand in front of Postgres and the emulator.
    pub is_proxied: bool,
    /// More settings, of every service.
    pub settings: Vec<(&'static str, String)>,
}

/// All of it, while it runs.
pub struct Cloud {
    /// The database of this run.
    pub database: Database,
    /// The emulator, in a project of this run.
    pub emulator: Emulator,
    /// The mock LLM.
    pub mock: Process,
    /// The processes, in the order of [`Service::ALL`].
    pub members: Vec<Arc<Member>>,
}

impl Cloud {
    /// Makes a database and starts everything; returns when all processes are ready. Logs go to `folder`.
    ///
    /// # Errors
    /// When a part is missing or does not come up.
    pub async fn start(
        programs: &Programs,
        servers: &Servers,
        options: &CloudOptions,
        mock_log: u32,
        folder: &Path,
    ) -> Fallible<Self> {
        let Servers { postgres, emulator: at, .. } = servers;
        let database = Database::make(Arc::clone(postgres), programs).await?;
        let emulator = Emulator::new(*at, &format!("bench-{:012x}", fastrand::u64(..) >> 16));
        let mock = Process::start_mock(&programs.mock, mock_log).await?;
        let secret: String = (0..64).map(|_| fastrand::digit(16)).collect();
        let mut members = Vec::new();
        for service in Service::ALL {
            for number in 0..options.of_each {
                let postgres_proxy = proxy(options.is_proxied, postgres.address()).await?;
                let pubsub_proxy = proxy(options.is_proxied, *at).await?;
                let address = |proxy: &Option<Proxy>, real| proxy.as_ref().map_or(real, |proxy| proxy.address);
                let mut settings = vec![
                    ("DATABASE_URL", database.url_at(address(&postgres_proxy, postgres.address()))?),
                    ("PUBSUB_EMULATOR_HOST", address(&pubsub_proxy, *at).to_string()),
                    ("PUBSUB_PROJECT_ID", emulator.project().to_owned()),
                ];
                match service {
                    Service::IngestApi => settings.push(("ID_SECRET", secret.clone())),
                    Service::LlmWorker => {
                        settings.extend([("LLM_BASE_URL", mock.base_url()), ("LLM_MODEL", "mock".to_owned())]);
                    }
                    Service::PersistWorker => {}
                }
                settings.extend(options.settings.iter().cloned());
                let log = folder.join(format!("{}-{number}.log", service.name()));
                let options =
                    ServiceOptions { program: programs.service(service.name())?, port: free_port()?, log, settings };
                members.push(Arc::new(Member::new(service, number, options, postgres_proxy, pubsub_proxy)));
            }
        }
        for member in &members {
            member.start().await?;
        }
        for member in &members {
            member.ready().await?;
        }
        Ok(Self { database, emulator, mock, members })
    }

    /// The processes of a service.
    pub fn of(&self, service: Service) -> impl Iterator<Item = &Arc<Member>> {
        self.members.iter().filter(move |member| member.service == service)
    }

    /// Where the API is.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.of(Service::IngestApi).map(|member| member.address).collect()
    }

    /// Where the first ingest-api is.
    ///
    /// # Errors
    /// When there is none.
    pub fn api(&self) -> Fallible<SocketAddr> {
        self.addresses().first().copied().ok_or_else(|| "there is no ingest-api".into())
    }

    /// Ends the processes in good order and drops the database.
    ///
    /// # Errors
    /// When one does not end.
    pub async fn stop(self) -> Fallible<()> {
        self.stop_members().await?;
        self.database.drop().await
    }

    /// Ends the processes in good order.
    ///
    /// # Errors
    /// When one does not end.
    pub async fn stop_members(&self) -> Fallible<()> {
        let mut stopping = JoinSet::new();
        for member in &self.members {
            let member = Arc::clone(member);
            stopping.spawn(async move { member.stop().await });
        }
        let mut stopped = Ok(());
        while let Some(one) = stopping.join_next().await {
            stopped = stopped.and(one?);
        }
        stopped
    }
}

async fn proxy(is_proxied: bool, upstream: SocketAddr) -> Fallible<Option<Proxy>> {
    if is_proxied { Ok(Some(Proxy::start(free_port()?, upstream).await?)) } else { Ok(None) }
}

fn free_port() -> Fallible<u16> {
    (0..200)
        .map(|_| fastrand::u16(PORTS))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| "no free port was found".into())
}
