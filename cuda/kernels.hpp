// Launchers: pointers, sizes and a stream in, a status out.
#pragma once

namespace nascore::cuda {

// How many devices there are; 0 where there is no driver or none that this build's runtime knows.
int device_count();

}  // namespace nascore::cuda
