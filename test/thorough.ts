/**
 * `npm run test:all` sets THOROUGH=1. Without it a test may try a property less often, or look only at the part that it is about. It never
 * leaves a case out.
 */
export const thorough = process.env.THOROUGH === '1'
