#include "float_rows.h"
#include "table.h"

const centime::Kernels centime::PORTABLE = centime::table(
    "portable", [] { return true; }, {});

const centime::FloatKernels centime::PORTABLE_FLOATS = centime::FLOATS;
