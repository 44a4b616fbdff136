//! What the probes share.
#![no_std]

/// Programs call helpers reserved to GPL-compatible ones; the sources are MIT.
#[macro_export]
macro_rules! license {
    () => {
        #[unsafe(link_section = "license")]
        #[unsafe(no_mangle)]
        static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

        #[panic_handler]
        fn panic(_info: &core::panic::PanicInfo) -> ! {
            // The verifier proves that no program gets here.
            loop {}
        }
    };
}

/// Logs to the server's log, in objects built with `--log`; nothing in the committed ones.
#[macro_export]
macro_rules! debug {
    ($context:expr, $($message:tt)*) => {{
        #[cfg(feature = "log")]
        $crate::log::debug!($context, $($message)*);
        #[cfg(not(feature = "log"))]
        let _ = $context;
    }};
}

#[cfg(feature = "log")]
#[doc(hidden)]
pub use aya_log_ebpf as log;
