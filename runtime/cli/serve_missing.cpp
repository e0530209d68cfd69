// What rotor serve says where the build left the server out.
#include "rotor/core/error.h"
#include "runtime/cli/commands.h"

namespace rotor::runtime::cli {

int serve(int, char**) {
  fail("this program was built without its server: configure the build with -DROTOR_SERVER=ON");
}

}  // namespace rotor::runtime::cli
