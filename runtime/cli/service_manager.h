// What a service manager is told (sd_notify(3): a datagram to the socket that NOTIFY_SOCKET names), without
// its library: "READY=1" lets systemd start what depends on the server.
#pragma once

#include <string>

namespace rotor::runtime::cli {

/// Sends `state`, e.g. "READY=1" or "STATUS=loading". Without NOTIFY_SOCKET, or if nobody listens there,
/// nothing happens: a server does not end for it.
void tell_service_manager(const std::string& state);

}  // namespace rotor::runtime::cli
