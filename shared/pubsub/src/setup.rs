//! What a deployment needs of Pub/Sub: topics, subscriptions, dead letters. Planned, applied, compared.
//!
//! Everything may be repeated: what is there and right is left alone, what differs is said field by field, and changed if
//! Pub/Sub allows it. What nobody here knows of (labels, other subscriptions) is never touched, and nothing is deleted.

mod compare;
mod desired;
mod report;

use std::sync::Arc;

use google_cloud_gax::error::rpc::Code;
use google_cloud_wkt::FieldMask;
use parlance_shared::port::{PortError, bus::Subscription};

use self::desired::{Desired, Wanted};
pub use self::{
    desired::{PushTarget, SECOND_NET, SetupOptions},
    report::{Description, Drift, Kind, Report, Resource, State},
};
use crate::{
    Inner, PubSubBus, bounded,
    clients::ADMIN,
    error::{code_of, port_error},
    names::Names,
};

/// What there should be on Google Cloud, without a look at what there is: for whoever makes it by other means.
///
/// # Errors
/// [`PortError`] when the options name a subscription that there is not.
pub fn describe(
    project: &str,
    subscriptions: &[Subscription],
    options: &SetupOptions,
) -> Result<Vec<Description>, PortError> {
    options.check(subscriptions)?;
    let wanted = desired::all(&Names::new(project), subscriptions, options, false).into_iter();
    let described =
        |Wanted { name, desired }| Description { kind: desired.kind(), fields: compare::described(&desired), name };
    Ok(wanted.map(described).collect())
}

impl PubSubBus {
    /// What there is and what [`PubSubBus::apply`] would do. Changes nothing.
    ///
    /// # Errors
    /// [`PortError`] when Pub/Sub can't be asked.
    pub async fn plan(&self, subscriptions: &[Subscription], options: &SetupOptions) -> Result<Report, PortError> {
        run(&self.inner, subscriptions, options, false).await
    }

    /// Makes what is missing, changes what differs and can be changed. May be repeated.
    ///
    /// # Errors
    /// [`PortError`] when Pub/Sub can't be asked or refuses a change; what was done before stays done.
    pub async fn apply(&self, subscriptions: &[Subscription], options: &SetupOptions) -> Result<Report, PortError> {
        run(&self.inner, subscriptions, options, true).await
    }
}

/// Makes what is missing, and looks at nothing else.
pub(crate) async fn ensure(bus: &Arc<Inner>, subscriptions: &[Subscription]) -> Result<(), PortError> {
    for wanted in desired::all(&bus.names, subscriptions, &SetupOptions::default(), bus.is_emulator()) {
        create(bus, &wanted.desired).await?;
    }
    Ok(())
}

async fn run(
    bus: &Arc<Inner>,
    subscriptions: &[Subscription],
    options: &SetupOptions,
    apply: bool,
) -> Result<Report, PortError> {
    options.check(subscriptions)?;
    let emulator = bus.is_emulator();
    let mut resources = Vec::new();
    for Wanted { name, desired } in desired::all(&bus.names, subscriptions, options, emulator) {
        let mut resource = Resource { kind: desired.kind(), name, state: State::InOrder, drift: Vec::new() };
        match look(bus, &desired).await? {
            None if apply => {
                create(bus, &desired).await?;
                resource.state = State::Created;
            }
            None => resource.state = State::Missing,
            Some(found) => {
                resource.drift = compare::drift(&found, &desired, emulator);
                if !resource.drift.is_empty() {
                    resource.state = State::Differs;
                }
                if apply {
                    repair(bus, &desired, &mut resource).await?;
                }
            }
        }
        resources.push(resource);
    }
    let hints = if emulator { Vec::new() } else { desired::hints(&bus.options.project, subscriptions, options) };
    Ok(Report { project: bus.options.project.clone(), emulator, resources, hints })
}

async fn look(bus: &Arc<Inner>, desired: &Desired) -> Result<Option<Desired>, PortError> {
    let action = format!("looking at {}", desired.full_name());
    let looking = async {
        let found = match desired {
            Desired::Topic(topic) => {
                bus.clients.topics().await?.get_topic().set_topic(&topic.name).send().await.map(Desired::topic)
            }
            Desired::Subscription(wanted) => {
                let asking = bus.clients.subscriptions().await?.get_subscription().set_subscription(&wanted.name);
                asking.send().await.map(Desired::subscription)
            }
        };
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if code_of(&error) == Some(Code::NotFound) => Ok(None),
            Err(error) => Err(port_error(&action, &error)),
        }
    };
    bounded(&action, ADMIN, looking).await
}

/// Somebody else may make the same at the same time.
async fn create(bus: &Arc<Inner>, desired: &Desired) -> Result<(), PortError> {
    let action = format!("making {}", desired.full_name());
    let making = async {
        let made = match desired {
            Desired::Topic(topic) => {
                let making = bus.clients.topics().await?.create_topic().with_request((**topic).clone());
                making.send().await.map(drop)
            }
            Desired::Subscription(subscription) => {
                let client = bus.clients.subscriptions().await?;
                client.create_subscription().with_request((**subscription).clone()).send().await.map(drop)
            }
        };
        match made {
            Err(error) if code_of(&error) != Some(Code::AlreadyExists) => Err(port_error(&action, &error)),
            _ => Ok(()),
        }
    };
    bounded(&action, ADMIN, making).await
}

async fn repair(bus: &Arc<Inner>, desired: &Desired, resource: &mut Resource) -> Result<(), PortError> {
    let paths: Vec<&str> = resource.drift.iter().filter(|drift| drift.changeable).map(|drift| drift.field).collect();
    if paths.is_empty() {
        return Ok(());
    }
    let mask = FieldMask::default().set_paths(paths);
    let action = format!("changing {}", desired.full_name());
    let changing = async {
        let changed = match desired {
            Desired::Topic(topic) => {
                let client = bus.clients.topics().await?;
                client.update_topic().set_topic((**topic).clone()).set_update_mask(mask).send().await.map(drop)
            }
            Desired::Subscription(wanted) => {
                let changing = bus.clients.subscriptions().await?.update_subscription();
                changing.set_subscription((**wanted).clone()).set_update_mask(mask).send().await.map(drop)
            }
        };
        changed.map_err(|error| port_error(&action, &error))
    };
    bounded(&action, ADMIN, changing).await?;
    resource.drift.iter_mut().for_each(|drift| drift.changed = drift.changeable);
    if resource.drift.iter().all(|drift| drift.changed) {
        resource.state = State::Changed;
    }
    Ok(())
}
