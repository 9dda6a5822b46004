//! Combines a deployment's settings with the agent's declaration: its profile, its engine's options, its HTTP routes.

use std::collections::BTreeSet;

use openagents_host::net::Reach;
use openagents_host::{Keys, Kind, PublicKey};

use crate::author::agent::Jobs;
use crate::declaration::{DeployedAgent, DeploymentDeclaration};
use crate::discovery::Profile;
use crate::engine::{DeliveryLimits, Options};
use crate::http::{AgentRoutes, Authority, DeclaredRoutes, RecordAccess};
use crate::manifest::AgentManifest;
use crate::payment::wallet::Wallet;
use crate::route::RouteAdmission;
use crate::settings::{AgentSettings, Operators};
use openagents_relay::admission::RateLimits;

impl AgentSettings {
    /// The profile of an agent with this key.
    pub(crate) fn profile<A: Jobs>(&self, key: PublicKey) -> Profile {
        let mut profile = Profile::of::<A>(key);
        if let Some(url) = &self.relay_url {
            profile = profile.at_relay(url);
        }
        if self.reach == Reach::Anywhere {
            profile = profile.with_insecure_relays();
        }
        profile.serving(&self.relays)
    }

    /// The options of the job engine.
    pub(crate) fn options(&self, profile: &Profile, wallet: Option<&dyn Wallet>) -> Options {
        Options {
            wallet: wallet.map(Wallet::features),
            relay_url: self.relay_url.clone(),
            reach: self.reach,
            // The host sets these.
            polled_relays: Vec::new(),
            deliveries: DeliveryLimits::default(),
            poll_every: self.poll_every,
            max_record_bytes: None,
            relays: self.relays.clone(),
            announcements: if self.announces { profile.announcements() } else { Vec::new() },
        }
    }
}

/// The declaration of a deployment with this agent.
pub fn deployment_of<A: Jobs>() -> DeploymentDeclaration {
    let deployed = DeployedAgent {
        job_kinds: A::HANDLERS.iter().map(|handler| handler.declaration.kind).collect(),
        mention_kinds: A::EVENTS
            .iter()
            .map(|event| event.declaration.kind)
            .chain(A::DIRECT_MESSAGE.iter().flat_map(|_| [Kind::GIFT_WRAP.0, Kind::EPHEMERAL_GIFT_WRAP.0]))
            .collect(),
        routes: A::ROUTES.iter().map(|route| route.declaration).collect(),
        takes_uploads: A::HANDLERS.iter().any(|handler| handler.declaration.takes_uploads()),
    };
    DeploymentDeclaration::with_agent(&A::DECLARATION, deployed)
}

/// The HTTP routes of the agent. The URL that operators sign is below `RELAY_URL` or has one of the authorities `own`; if
/// there are none, that of the `Host` header. `rates` also limit the requests to routes that the agent declares.
pub(crate) fn agent_routes<A: Jobs>(
    settings: &AgentSettings,
    operators: Operators,
    keys: &Keys,
    own: BTreeSet<Authority>,
    rates: RateLimits,
) -> AgentRoutes {
    let key = keys.public_key();
    let profile = settings.profile::<A>(key);
    let manifest = AgentManifest::of::<A>(&key).at_relays(profile.relays()).signed(keys);
    // A state that cannot be written as JSON is reported when the agent starts.
    let default_state = A::STATE.write(&A::STATE.initial()).unwrap_or_default();
    let access = RecordAccess::new(key, operators, settings.relay_url.as_deref(), own);
    let routes = A::ROUTES.iter().map(|route| route.declaration).collect();
    let declared = DeclaredRoutes { routes, admission: RouteAdmission::new(rates) };
    AgentRoutes::new(manifest, profile, access, default_state, declared)
}
