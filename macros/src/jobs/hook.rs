//! `#[on_create]`, `#[on_wake]`, `#[on_sleep]`, `#[on_error]` and `#[migrate]`: parses lifecycle hooks and
//! migrations.

use syn::{Attribute, FnArg, Ident, ImplItemFn, Meta, Type};

use super::mark::{LifecycleHook, Mark};
use super::signature::{Method, Role, cfg_of, is_plain, returns};
use crate::invisible_group::ungrouped_type;
use crate::mistakes::Mistakes;

static ROLE: Role = Role {
    subject: "hooks",
    returns: "`JobResult<()>`",
    text: "hooks have no job request; they take `&AgentContext` or nothing",
};

static MIGRATE_ROLE: Role =
    Role { subject: "migrations", returns: "`JobResult<serde_json::Value>`", text: "" };

const MIGRATE_ARGUMENTS: &str = "migrations take the version of the stored state and the state itself, but not `self`: `(version: u32, state: serde_json::Value)`";

/// A parsed hook.
pub(super) struct Hook {
    pub(super) kind: LifecycleHook,
    pub(super) method: Method,
    mark: Attribute,
}

/// A parsed `#[migrate]` function.
pub(super) struct Migrate {
    pub(super) method: Ident,
    pub(super) cfg: Vec<Attribute>,
    mark: Attribute,
    pub(super) returns: Type,
}

impl Hook {
    /// Parses a method and its mark; `None` if there are mistakes.
    pub(super) fn parse(
        kind: LifecycleHook,
        mark: &Attribute,
        method: &ImplItemFn,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        refuse_arguments(kind.name(), mark, mistakes);
        Some(Self { kind, method: Method::parse(method, &ROLE, mistakes)?, mark: mark.clone() })
    }
}

impl Migrate {
    /// Parses a function and its `#[migrate]`; `None` if there are mistakes.
    pub(super) fn parse(mark: &Attribute, function: &ImplItemFn, mistakes: &mut Mistakes) -> Option<Self> {
        refuse_arguments(Mark::Migrate.name(), mark, mistakes);
        let signature = &function.sig;
        let mut is_fitting = is_plain(signature, &MIGRATE_ROLE, mistakes);
        if let Some(asyncness) = &signature.asyncness {
            mistakes.at(asyncness, "migrations cannot be `async`");
            is_fitting = false;
        }
        match signature.inputs.iter().collect::<Vec<_>>().as_slice() {
            [FnArg::Typed(version), FnArg::Typed(state)]
                if is_named("u32", &version.ty) && is_named("Value", &state.ty) => {}
            [] => {
                mistakes.at(&signature.ident, MIGRATE_ARGUMENTS);
                is_fitting = false;
            }
            _ => {
                mistakes.at(&signature.inputs, MIGRATE_ARGUMENTS);
                is_fitting = false;
            }
        }
        let returns = returns(signature, &MIGRATE_ROLE, mistakes);
        let migrate = Self {
            method: signature.ident.clone(),
            cfg: cfg_of(&function.attrs),
            mark: mark.clone(),
            returns: returns?,
        };
        is_fitting.then_some(migrate)
    }
}

/// Whether the type has this name, with any path.
fn is_named(name: &str, ty: &Type) -> bool {
    let Type::Path(path) = ungrouped_type(ty) else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == name)
}

fn refuse_arguments(name: &str, mark: &Attribute, mistakes: &mut Mistakes) {
    match &mark.meta {
        Meta::Path(_) => {}
        Meta::List(list) => mistakes.at(&list.tokens, format!("`#[{name}]` takes no arguments")),
        Meta::NameValue(meta) => mistakes.at(&meta.value, format!("`#[{name}]` takes no arguments")),
    }
}

/// Notes hooks and migrations that occur twice.
pub(super) fn note_duplicates(hooks: &[Hook], migrations: &[Migrate], mistakes: &mut Mistakes) {
    // Alternatives under `#[cfg]` are only known after it has been applied.
    let mut hooks: Vec<&Hook> = hooks.iter().filter(|hook| hook.method.cfg.is_empty()).collect();
    while let Some(hook) = hooks.pop() {
        if let Some(first) = hooks.iter().find(|first| first.kind == hook.kind) {
            let message =
                format!("there can only be one `#[{}]`, which is `{}`", hook.kind.name(), first.method.name);
            mistakes.at(&hook.mark, message);
        }
    }
    let mut migrations = migrations.iter().filter(|migrate| migrate.cfg.is_empty());
    if let Some(first) = migrations.next() {
        for migrate in migrations {
            let message = format!("there can only be one `#[migrate]`, which is `{}`", first.method);
            mistakes.at(&migrate.mark, message);
        }
    }
}
