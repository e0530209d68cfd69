// OpenCL through OpenCL-CLHPP, without being linked to it: the ICD loader is opened when it is first asked
// for (opencl_library.cpp), so that the program runs on machines without it.
#pragma once

#define CL_HPP_ENABLE_EXCEPTIONS
#define CL_HPP_TARGET_OPENCL_VERSION 120
#define CL_HPP_MINIMUM_OPENCL_VERSION 120
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <CL/opencl.hpp>
#pragma GCC diagnostic pop

namespace rotor::runtime {

/// Whether the library is on this machine. Nothing else of OpenCL may be called if it is not.
bool opencl_is_here();

}  // namespace rotor::runtime
