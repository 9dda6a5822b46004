//! `deployment!`: what makes a crate with an agent something that runs.

/// Deploys an agent: natively it writes a `main` function that serves it (see [`native::main`](crate::native::main)), on
/// `wasm32` it exports the Worker and its Durable Objects.
///
/// Call the native one from the crate's `src/main.rs`:
///
/// ```ignore
/// fn main() -> std::process::ExitCode {
///     hello_world::main()
/// }
/// ```
///
/// # What may be written to the relay
///
/// Variables say whose events and which kinds the relay takes. What they cannot say is a
/// [`WritePolicy`](crate::engine::WritePolicy), which is asked about every event that a client writes, on both hosts:
///
/// ```
/// use openagents_sdk::prelude::*;
/// use openagents_sdk::relay::{Reason, Submission, WritePolicy};
///
/// /// Greets people.
/// #[agent(name = "greeter")]
/// #[derive(Default, Serialize, Deserialize)]
/// struct Greeter;
///
/// #[jobs]
/// impl Greeter {
///     /// Greets whom it is given.
///     #[job(kind = 5050)]
///     async fn greet(&self, name: Text) -> JobResult<String> {
///         Ok(format!("Hello, {name}!"))
///     }
/// }
///
/// /// Takes nothing from people in a hurry.
/// struct Patience;
///
/// impl WritePolicy for Patience {
///     fn admit(&self, submission: &Submission<'_>) -> Result<(), Reason> {
///         if submission.event.content.contains("hurry") {
///             return Err(Reason::restricted("there is no hurry here"));
///         }
///         Ok(())
///     }
/// }
///
/// openagents_sdk::deployment!(Greeter, policy = Patience);
/// ```
#[cfg(not(target_arch = "wasm32"))]
#[macro_export]
macro_rules! deployment {
    ($agent:ty, policy = $policy:expr $(,)?) => {
        /// Serves the agent and its relay, or asks one: see `--help`.
        pub fn main() -> ::std::process::ExitCode {
            $crate::native::main_with_policy::<$agent>($crate::__private::policy($policy))
        }
    };
    ($agent:ty $(,)?) => {
        /// Serves the agent and its relay, or asks one: see `--help`.
        pub fn main() -> ::std::process::ExitCode {
            $crate::native::main::<$agent>()
        }
    };
}

/// Deploys an agent: natively it writes a `main` function that serves it, on `wasm32` it exports the Worker (its `fetch`
/// handler) and the classes `RelayDurableObject` and `AgentDurableObject`. With `policy = MyPolicy` the relay asks that
/// [`WritePolicy`](crate::engine::WritePolicy) about what clients write.
#[cfg(target_arch = "wasm32")]
#[macro_export]
macro_rules! deployment {
    (@worker $agent:ty, $policy:expr) => {
        /// Not for WebAssembly: there the Worker's exports are the entry points.
        pub fn main() -> ::std::process::ExitCode {
            ::std::process::ExitCode::FAILURE
        }

        #[doc(hidden)]
        mod __openagents_worker {
            // Under `panic = "unwind"` what is exported must be unwind safe. A panic ends an event, and what it leaves is
            // in the database, where transactions keep it whole.
            use ::std::panic::AssertUnwindSafe;

            use ::openagents_sdk::__private::worker;
            use ::openagents_sdk::__private::worker::wasm_bindgen::{self, prelude::*};
            use ::openagents_sdk::__private::worker::worker_sys::{self, web_sys};
            use ::openagents_sdk::worker::wasm_result;

            #[allow(unused_imports)]
            use super::*;

            // The classes that `wrangler.toml` names. They cannot be generic, and a class of a dependency could not
            // know the agent, so they are written here around the SDK's generic hosts.
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
                    Self(AssertUnwindSafe(::openagents_sdk::worker::relay_object::<$agent>(
                        worker::State::from(state),
                        env,
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

            #[wasm_bindgen(wasm_bindgen = ::openagents_sdk::__private::worker::wasm_bindgen)]
            pub struct AgentDurableObject(AssertUnwindSafe<::openagents_sdk::worker::AgentObject<$agent>>);

            #[wasm_bindgen(
                        wasm_bindgen = ::openagents_sdk::__private::worker::wasm_bindgen,
                        wasm_bindgen_futures = ::openagents_sdk::__private::worker::wasm_bindgen_futures,
                        js_sys = ::openagents_sdk::__private::worker::js_sys
                    )]
            impl AgentDurableObject {
                #[wasm_bindgen(constructor)]
                pub fn new(state: worker_sys::DurableObjectState, env: worker::Env) -> Self {
                    Self(AssertUnwindSafe(::openagents_sdk::worker::AgentObject::new(
                        worker::State::from(state),
                        env,
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
            }

            #[wasm_bindgen(
                        wasm_bindgen = ::openagents_sdk::__private::worker::wasm_bindgen,
                        wasm_bindgen_futures = ::openagents_sdk::__private::worker::wasm_bindgen_futures,
                        js_sys = ::openagents_sdk::__private::worker::js_sys
                    )]
            pub async fn fetch(
                request: web_sys::Request,
                env: worker::Env,
                _context: worker_sys::Context,
            ) -> ::std::result::Result<JsValue, JsValue> {
                AssertUnwindSafe(wasm_result(::openagents_sdk::worker::fetch::<$agent>(request.into(), env)))
                    .await
            }
        }
    };
    ($agent:ty $(,)?) => {
        $crate::deployment!(@worker $agent, ::core::option::Option::None);
    };
    ($agent:ty, policy = $policy:expr $(,)?) => {
        $crate::deployment!(@worker $agent, ::core::option::Option::Some($crate::__private::policy($policy)));
    };
}
