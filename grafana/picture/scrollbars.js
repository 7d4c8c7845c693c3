// An old package that names its default as Node does; the bundler would hand over all of it.
export { Scrollbars as default } from './node_modules/react-custom-scrollbars-2/lib/index.js';
