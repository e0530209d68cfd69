// What GLSL (Vulkan) and OpenCL C have in common, so that a kernel is written once:
//
//   PARAMS(uint cols; float eps;)             words that the host gives: p.cols, p.eps
//   CONSTANT(1, WIDTH, 4)                     chosen when the kernel is compiled for a device; 0 is GROUP
//   KERNEL(name,
//     READS(0, float, x)                      buffers, numbered from 0
//     WRITES(1, float, y))
//   LOCALS(LOCAL(float, scratch, GROUP))      memory of the group; or NO_LOCALS
//   BODY {
//     ...                                     GROUP_X, GROUP_Y, GROUP_Z, LANE; GROUP work items a group
//   }
//   END
//
// Functions may take values, not buffers; what must touch a buffer is a macro. Numbers are float, int, uint
// and vectors of four of them. Build-time choices are macros: SUBGROUPS (sums over subgroups), and what a
// kernel itself names.
#ifdef __OPENCL_VERSION__

typedef uint4 uvec4;
typedef int4 ivec4;
typedef float4 vec4;
typedef float2 vec2;
typedef uint2 uvec2;
#define VEC2(a, b) ((float2)(a, b))
#define UVEC2(a, b) ((uint2)(a, b))
#define VEC4(a, b, c, d) ((float4)(a, b, c, d))
#define UVEC4(a, b, c, d) ((uint4)(a, b, c, d))
#define TO_FLOATS(v) convert_float4(v)
#define TO_INTS(v) as_int4(v)
#define FLOAT(v) ((float)(v))
#define INT(v) ((int)(v))
#define UINT(v) ((uint)(v))

#define PARAMS(fields) \
  typedef struct {     \
    fields             \
  } params_t;
#define CONSTANT(number, name, value)  // -Dname=value
#define KERNEL(name, buffers) \
  __kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void name(buffers const params_t p) {
#define READS(number, type, name) __global const type *name,
#define WRITES(number, type, name) __global type *name,
#define LOCAL(type, name, count) __local type name[count];
#define LOCALS(declarations) declarations
#define NO_LOCALS
#define BODY
#define END }

#define GROUP_X ((uint)get_group_id(0))
#define GROUP_Y ((uint)get_group_id(1))
#define GROUP_Z ((uint)get_group_id(2))
#define GROUPS_X ((uint)get_num_groups(0))
#define GROUPS_Z ((uint)get_num_groups(2))
#define LANE ((uint)get_local_id(0))
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE)

#define WORD_AT(vectors, i) (((__global const uint *)(vectors))[i])
#define FLOAT_AT(vectors, i) (((__global const float *)(vectors))[i])
#define AS_UINT(v) as_uint(v)
#define AS_FLOAT(v) as_float(v)
#define ROUND_EVEN(v) rint(v)
#define POPCOUNT(v) popcount(v)
#define ATOMIC_ADD(place, value) atomic_add(&(place), value)
#define LOCAL_ATOMIC_ADD(place, value) atomic_add(&(place), value)
#if SUBGROUPS
#pragma OPENCL EXTENSION cl_khr_subgroups : enable
#define SUBGROUP_ADD(v) sub_group_reduce_add(v)
#define SUBGROUP_MAX(v) sub_group_reduce_max(v)
#define SUBGROUP_ID get_sub_group_id()
#define SUBGROUP_LANE get_sub_group_local_id()
#define SUBGROUP_COUNT get_num_sub_groups()
#endif

#else  // GLSL

#if SUBGROUPS
#extension GL_KHR_shader_subgroup_arithmetic : require
#define SUBGROUP_ADD(v) subgroupAdd(v)
#define SUBGROUP_MAX(v) subgroupMax(v)
#define SUBGROUP_ID gl_SubgroupID
#define SUBGROUP_LANE gl_SubgroupInvocationID
#define SUBGROUP_COUNT gl_NumSubgroups
#endif
#define VEC2(a, b) vec2(a, b)
#define UVEC2(a, b) uvec2(a, b)
#define VEC4(a, b, c, d) vec4(a, b, c, d)
#define UVEC4(a, b, c, d) uvec4(a, b, c, d)
#define TO_FLOATS(v) vec4(v)
#define TO_INTS(v) ivec4(v)
#define FLOAT(v) float(v)
#define INT(v) int(v)
#define UINT(v) uint(v)

#define PARAMS(fields)                  \
  layout(push_constant) uniform params_t { \
    fields                              \
  }                                     \
  p;
#define CONSTANT(number, name, value) layout(constant_id = number) const uint name = value;
layout(constant_id = 0) const uint GROUP = 64;
layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;
#define KERNEL(name, buffers) buffers
#define READS(number, type, name) \
  layout(std430, set = 0, binding = number) readonly buffer name##_buffer { type name[]; };
#define WRITES(number, type, name) \
  layout(std430, set = 0, binding = number) buffer name##_buffer { type name[]; };
#define LOCAL(type, name, count) shared type name[count];
#define LOCALS(declarations) declarations
#define NO_LOCALS
#define BODY void main()
#define END

#define GROUP_X gl_WorkGroupID.x
#define GROUP_Y gl_WorkGroupID.y
#define GROUP_Z gl_WorkGroupID.z
#define GROUPS_X gl_NumWorkGroups.x
#define GROUPS_Z gl_NumWorkGroups.z
#define LANE gl_LocalInvocationID.x
#define BARRIER() barrier()

#define WORD_AT(vectors, i) vectors[(i) / 4u][(i) % 4u]
#define FLOAT_AT(vectors, i) vectors[(i) / 4u][(i) % 4u]
#define AS_UINT(v) floatBitsToUint(v)
#define AS_FLOAT(v) uintBitsToFloat(v)
#define ROUND_EVEN(v) roundEven(v)
#define POPCOUNT(v) bitCount(v)
#define ATOMIC_ADD(place, value) atomicAdd(place, value)
#define LOCAL_ATOMIC_ADD(place, value) atomicAdd(place, value)
#define fabs abs
#define fmax max
#define fmin min

#endif

// value = the sum (or the largest) of `value` over the group, in every work item. `scratch`: LOCAL of GROUP.
#if SUBGROUPS
#define GROUP_REDUCE(value, scratch, subgroup_op, op)                                       \
  value = subgroup_op(value);                                                               \
  if (SUBGROUP_LANE == 0u) scratch[SUBGROUP_ID] = value;                                    \
  BARRIER();                                                                                \
  value = scratch[0];                                                                       \
  for (uint group_i = 1u; group_i < SUBGROUP_COUNT; ++group_i) value = op(value, scratch[group_i]); \
  BARRIER();
#else
#define GROUP_REDUCE(value, scratch, subgroup_op, op)                                                     \
  scratch[LANE] = value;                                                                                  \
  BARRIER();                                                                                              \
  for (uint group_half = GROUP / 2u; group_half > 0u; group_half /= 2u) {                                 \
    if (LANE < group_half) scratch[LANE] = op(scratch[LANE], scratch[LANE + group_half]);                 \
    BARRIER();                                                                                            \
  }                                                                                                       \
  value = scratch[0];                                                                                     \
  BARRIER();
#endif
#define ADDED(a, b) ((a) + (b))
#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#define GROUP_SUM(value, scratch) GROUP_REDUCE(value, scratch, SUBGROUP_ADD, ADDED)
#define GROUP_MAX(value, scratch) GROUP_REDUCE(value, scratch, SUBGROUP_MAX, LARGER)
