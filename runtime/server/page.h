// The web page of the server: a chat in the browser on top of the API. Its files (runtime/server/page, and
// the libraries that they use) lie in the program, compressed; nothing comes from elsewhere. It knows no
// model.
#pragma once

#include <vector>

#include "runtime/server/http/http.h"

namespace rotor::runtime::server {

/// GET / and the files behind it. They need no key: the page asks for one where the API wants it. Answers
/// carry an ETag (304 to who has it), a Content-Security-Policy without inline scripts and styles, and
/// Content-Encoding gzip for who takes that: the transport sends them as they are.
std::vector<HttpRoute> page_routes();

}  // namespace rotor::runtime::server
