// The functions of OpenCL that this program calls, each handed on to the ICD loader.
#include "runtime/backends/opencl/opencl_library.h"

#include <dlfcn.h>

namespace rotor::runtime {
namespace {

void* library() {
  static void* const loaded = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
  return loaded;
}

template <class Function>
Function* symbol(const char* name) {
  return library() == nullptr ? nullptr : reinterpret_cast<Function*>(dlsym(library(), name));
}

}  // namespace

bool opencl_is_here() {
  return library() != nullptr;
}

}  // namespace rotor::runtime

// Error codes where the library is an old one and lacks the function: what a broken driver would give.
#define HANDED_ON(type, name, parameters, arguments, otherwise)                  \
  extern "C" type CL_API_CALL name parameters {                                  \
    static auto* const function = rotor::runtime::symbol<decltype(name)>(#name); \
    return function != nullptr ? function arguments : otherwise;                 \
  }
#define STATUS(name, parameters, arguments) \
  HANDED_ON(cl_int, name, parameters, arguments, CL_INVALID_OPERATION)
#define OBJECT(type, name, parameters, arguments) HANDED_ON(type, name, parameters, arguments, nullptr)

STATUS(clBuildProgram,
       (cl_program a, cl_uint b, const cl_device_id* c, const char* d,
        void(CL_CALLBACK* e)(cl_program program, void* user_data), void* f),
       (a, b, c, d, e, f))
OBJECT(cl_mem, clCreateBuffer, (cl_context a, cl_mem_flags b, size_t c, void* d, cl_int* e), (a, b, c, d, e))
OBJECT(cl_command_queue, clCreateCommandQueue,
       (cl_context a, cl_device_id b, cl_command_queue_properties c, cl_int* d), (a, b, c, d))
OBJECT(cl_context, clCreateContext,
       (const cl_context_properties* a, cl_uint b, const cl_device_id* c,
        void(CL_CALLBACK* d)(const char* errinfo, const void* private_info, size_t cb, void* user_data),
        void* e, cl_int* f),
       (a, b, c, d, e, f))
OBJECT(cl_kernel, clCreateKernel, (cl_program a, const char* b, cl_int* c), (a, b, c))
OBJECT(cl_program, clCreateProgramWithSource,
       (cl_context a, cl_uint b, const char** c, const size_t* d, cl_int* e), (a, b, c, d, e))
OBJECT(cl_mem, clCreateSubBuffer,
       (cl_mem a, cl_mem_flags b, cl_buffer_create_type c, const void* d, cl_int* e), (a, b, c, d, e))
STATUS(clEnqueueCopyBuffer,
       (cl_command_queue a, cl_mem b, cl_mem c, size_t d, size_t e, size_t f, cl_uint g, const cl_event* h,
        cl_event* i),
       (a, b, c, d, e, f, g, h, i))
STATUS(clEnqueueFillBuffer,
       (cl_command_queue a, cl_mem b, const void* c, size_t d, size_t e, size_t f, cl_uint g,
        const cl_event* h, cl_event* i),
       (a, b, c, d, e, f, g, h, i))
STATUS(clEnqueueNDRangeKernel,
       (cl_command_queue a, cl_kernel b, cl_uint c, const size_t* d, const size_t* e, const size_t* f,
        cl_uint g, const cl_event* h, cl_event* i),
       (a, b, c, d, e, f, g, h, i))
STATUS(clEnqueueReadBuffer,
       (cl_command_queue a, cl_mem b, cl_bool c, size_t d, size_t e, void* f, cl_uint g, const cl_event* h,
        cl_event* i),
       (a, b, c, d, e, f, g, h, i))
STATUS(clEnqueueWriteBuffer,
       (cl_command_queue a, cl_mem b, cl_bool c, size_t d, size_t e, const void* f, cl_uint g,
        const cl_event* h, cl_event* i),
       (a, b, c, d, e, f, g, h, i))
STATUS(clFinish, (cl_command_queue a), (a))
STATUS(clFlush, (cl_command_queue a), (a))
STATUS(clGetDeviceIDs, (cl_platform_id a, cl_device_type b, cl_uint c, cl_device_id* d, cl_uint* e),
       (a, b, c, d, e))
STATUS(clGetDeviceInfo, (cl_device_id a, cl_device_info b, size_t c, void* d, size_t* e), (a, b, c, d, e))
STATUS(clGetPlatformIDs, (cl_uint a, cl_platform_id* b, cl_uint* c), (a, b, c))
STATUS(clGetPlatformInfo, (cl_platform_id a, cl_platform_info b, size_t c, void* d, size_t* e),
       (a, b, c, d, e))
STATUS(clGetProgramBuildInfo,
       (cl_program a, cl_device_id b, cl_program_build_info c, size_t d, void* e, size_t* f),
       (a, b, c, d, e, f))
STATUS(clGetProgramInfo, (cl_program a, cl_program_info b, size_t c, void* d, size_t* e), (a, b, c, d, e))
STATUS(clReleaseCommandQueue, (cl_command_queue a), (a))
STATUS(clReleaseContext, (cl_context a), (a))
STATUS(clReleaseDevice, (cl_device_id a), (a))
STATUS(clReleaseEvent, (cl_event a), (a))
STATUS(clReleaseKernel, (cl_kernel a), (a))
STATUS(clReleaseMemObject, (cl_mem a), (a))
STATUS(clReleaseProgram, (cl_program a), (a))
STATUS(clRetainDevice, (cl_device_id a), (a))
STATUS(clRetainMemObject, (cl_mem a), (a))
STATUS(clSetKernelArg, (cl_kernel a, cl_uint b, size_t c, const void* d), (a, b, c, d))
