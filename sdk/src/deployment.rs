//! The code behind `deployment!`: a native `main`, or the Worker's `fetch` handler and Durable Object classes.
//!
//! The procedural macro parses the author's code. It is compiled for the build machine, so these macros handle what
//! depends on the target.

/// Native: a `main` function that serves the deployment.
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __deployment {
    (($agent:ty) ($($policy:tt)?) ($($gateway:tt)?)) => {
        /// Serves the agent and its relay, or runs one of the commands that `--help` lists.
        pub fn main() -> ::std::process::ExitCode {
            $crate::native::main::<$agent>(
                $crate::__deployment_policy!($($policy)?),
                $crate::__deployment_gateway!($($gateway)?),
            )
        }
    };
    (() ($($policy:tt)?) ()) => {
        /// Serves the relay, or runs one of the commands that `--help` lists.
        pub fn main() -> ::std::process::ExitCode {
            $crate::native::main_of_relay(
                $crate::__relay_only_deployment!(),
                $crate::__deployment_policy!($($policy)?),
            )
        }
    };
}

/// A deployment's optional policy, as an `Option`.
#[doc(hidden)]
#[macro_export]
macro_rules! __deployment_policy {
    () => {
        ::core::option::Option::None
    };
    (($policy:expr)) => {
        ::core::option::Option::Some($crate::__private::policy($policy))
    };
}

/// A deployment's optional gateway, as an `Option`.
#[doc(hidden)]
#[macro_export]
macro_rules! __deployment_gateway {
    () => {
        ::core::option::Option::None
    };
    (($gateway:expr)) => {
        ::core::option::Option::Some($crate::__private::gateway($gateway))
    };
}

/// The declaration of a deployment without agents, from its crate's `Cargo.toml`.
#[doc(hidden)]
#[macro_export]
macro_rules! __relay_only_deployment {
    () => {
        $crate::__private::DeploymentDeclaration::relay_only(
            ::core::env!("CARGO_PKG_NAME"),
            ::core::env!("CARGO_PKG_VERSION"),
            ::core::env!("CARGO_PKG_DESCRIPTION"),
        )
    };
}

/// Worker: the `fetch` handler and the classes `RelayDurableObject`, `BlossomDurableObject` and `AgentDurableObject`, which
/// `wrangler.toml` names. A relay alone has no `AgentDurableObject`.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[macro_export]
macro_rules! __deployment {
    (($agent:ty) ($($policy:tt)?) ($($gateway:tt)?)) => {
        $crate::__worker! {
            [$crate::__private::deployment_of::<$agent>()] [$crate::__deployment_policy!($($policy)?)]
            [$crate::__deployment_gateway!($($gateway)?)] { $crate::__agent_class! { $agent } }
        }
    };
    (() ($($policy:tt)?) ()) => {
        $crate::__worker! {
            [$crate::__relay_only_deployment!()] [$crate::__deployment_policy!($($policy)?)]
            [$crate::__deployment_gateway!()] {}
        }
    };
}

/// What every Worker exports.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[macro_export]
macro_rules! __worker {
    ([$deployment:expr] [$policy:expr] [$gateway:expr] { $($agent_class:tt)* }) => {
        /// Not for WebAssembly: a Worker starts at its exports.
        pub fn main() -> ::std::process::ExitCode {
            ::std::process::ExitCode::FAILURE
        }

        #[doc(hidden)]
        mod __openagents_worker {
            // Under `panic = "unwind"`, exports must be unwind safe. A panic ends an event; the state that it leaves
            // is in the database, where transactions keep it consistent.
            use ::std::panic::AssertUnwindSafe;

            use ::openagents_sdk::__private::worker;
            use ::openagents_sdk::__private::worker::wasm_bindgen::{self, prelude::*};
            use ::openagents_sdk::__private::worker::worker_sys::{self, web_sys};
            use ::openagents_sdk::worker::wasm_result;

            #[allow(unused_imports)]
            use super::*;

            // The classes that `wrangler.toml` names. Exported classes cannot be generic, and a class in a dependency
            // could not know the agent, so they are generated here around the SDK's generic hosts.
            #[wasm_bindgen(wasm_bindgen = ::openagents_sdk::__private::worker::wasm_bindgen)]
            pub struct RelayDurableObject(AssertUnwindSafe<::openagents_sdk::worker::RelayObject>);

            #[wasm_bindgen(
                        wasm_bindgen = ::openagents_sdk::__private::worker::wasm_bindgen,
                        wasm_bindgen_futures = ::openagents_sdk::__private::worker::wasm_bindgen_futures,
                        js_sys = ::openagents_sdk::__private::worker::js_sys
                    )]
            impl RelayDurableObject {
                #[wasm_bindgen(constructor)]
                pub fn new(state: worker_sys::DurableObjectState, env: worker::Env) -> Self {
                    Self(AssertUnwindSafe(::openagents_sdk::worker::relay_object(
                        worker::State::from(state),
                        env,
                        &$deployment,
                        $policy,
                    )))
                }

                #[wasm_bindgen(js_name = fetch)]
                pub async fn fetch(
                    &self,
                    request: web_sys::Request,
                ) -> ::std::result::Result<JsValue, JsValue> {
                    AssertUnwindSafe(wasm_result(self.0.fetch(request.into()))).await
                }

                #[wasm_bindgen(js_name = alarm)]
                pub async fn alarm(&self) -> ::std::result::Result<JsValue, JsValue> {
                    AssertUnwindSafe(wasm_result(self.0.alarm())).await
                }

                #[wasm_bindgen(js_name = webSocketMessage)]
                pub fn websocket_message(
                    &self,
                    socket: web_sys::WebSocket,
                    message: JsValue,
                ) -> ::std::result::Result<JsValue, JsValue> {
                    ::openagents_sdk::worker::wasm_result_or_promise(
                        self.0.websocket_message(
                            &socket.into(),
                            ::openagents_sdk::worker::incoming(&message),
                        ),
                    )
                }

                #[wasm_bindgen(js_name = webSocketClose)]
                pub async fn websocket_close(
                    &self,
                    socket: web_sys::WebSocket,
                    code: usize,
                    reason: ::std::string::String,
                    was_clean: bool,
                ) -> ::std::result::Result<JsValue, JsValue> {
                    AssertUnwindSafe(wasm_result(self.0.websocket_close(
                        socket.into(),
                        code,
                        reason,
                        was_clean,
                    )))
                    .await
                }

                #[wasm_bindgen(js_name = webSocketError)]
                pub async fn websocket_error(
                    &self,
                    socket: web_sys::WebSocket,
                    error: JsValue,
                ) -> ::std::result::Result<JsValue, JsValue> {
                    AssertUnwindSafe(wasm_result(
                        self.0.websocket_error(socket.into(), worker::Error::from(error)),
                    ))
                    .await
                }
            }

            $crate::__object_class! {
                BlossomDurableObject(::openagents_sdk::worker::BlobIndexObject) =
                    ::openagents_sdk::worker::blob_index_object
            }

            $($agent_class)*

            #[wasm_bindgen(
                        wasm_bindgen = ::openagents_sdk::__private::worker::wasm_bindgen,
                        wasm_bindgen_futures = ::openagents_sdk::__private::worker::wasm_bindgen_futures,
                        js_sys = ::openagents_sdk::__private::worker::js_sys
                    )]
            pub async fn fetch(
                request: web_sys::Request,
                env: worker::Env,
                context: worker_sys::Context,
            ) -> ::std::result::Result<JsValue, JsValue> {
                AssertUnwindSafe(wasm_result(::openagents_sdk::worker::fetch(
                    request.into(),
                    env,
                    $deployment,
                    $gateway,
                    worker::Context::new(context),
                )))
                .await
            }
        }
    };
}

/// The class of the agent's Durable Object.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[macro_export]
macro_rules! __agent_class {
    ($agent:ty) => {
        $crate::__object_class! {
            AgentDurableObject(::openagents_sdk::worker::AgentObject<$agent>) =
                ::openagents_sdk::worker::AgentObject::new
        }
    };
}

/// A class of Durable Objects that answer requests and alarms, around its host and that host's constructor.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[macro_export]
macro_rules! __object_class {
    ($class:ident($host:ty) = $new:path) => {
        #[wasm_bindgen(wasm_bindgen = ::openagents_sdk::__private::worker::wasm_bindgen)]
        pub struct $class(AssertUnwindSafe<$host>);

        #[wasm_bindgen(
                            wasm_bindgen = ::openagents_sdk::__private::worker::wasm_bindgen,
                            wasm_bindgen_futures = ::openagents_sdk::__private::worker::wasm_bindgen_futures,
                            js_sys = ::openagents_sdk::__private::worker::js_sys
                        )]
        impl $class {
            #[wasm_bindgen(constructor)]
            pub fn new(state: worker_sys::DurableObjectState, env: worker::Env) -> Self {
                Self(AssertUnwindSafe($new(worker::State::from(state), env)))
            }

            #[wasm_bindgen(js_name = fetch)]
            pub async fn fetch(&self, request: web_sys::Request) -> ::std::result::Result<JsValue, JsValue> {
                AssertUnwindSafe(wasm_result(self.0.fetch(request.into()))).await
            }

            #[wasm_bindgen(js_name = alarm)]
            pub async fn alarm(&self) -> ::std::result::Result<JsValue, JsValue> {
                AssertUnwindSafe(wasm_result(self.0.alarm())).await
            }
        }
    };
}
