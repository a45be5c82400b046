"""The dtypes that .safetensors files may name; imports no JAX."""

import ml_dtypes
import numpy as np

# a closed table, from which a name selects
BY_NAME = {
  **{"BOOL": np.bool_, "U8": np.uint8, "U16": np.uint16, "U32": np.uint32},
  **{"U64": np.uint64, "I8": np.int8, "I16": np.int16, "I32": np.int32},
  **{"I64": np.int64, "F16": np.float16, "F32": np.float32},
  **{"F64": np.float64, "C64": np.complex64, "BF16": ml_dtypes.bfloat16},
  **{"F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2},
}
