import '@fontsource/ibm-plex-sans/latin-400.css';
import '@fontsource/ibm-plex-sans/latin-600.css';
import '@fontsource/ibm-plex-sans/latin-ext-400.css';
import '@fontsource/ibm-plex-sans/latin-ext-600.css';
import '@fontsource/ibm-plex-mono/latin-400.css';
import '@fontsource/ibm-plex-mono/latin-ext-400.css';
import '@mantine/core/styles.css';
import '@mantine/notifications/styles.css';
import './theme/tokens.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app/App';
import { startI18n } from './i18n/i18n';
import { cspNonce } from './theme/nonce';

const root = document.getElementById('root');
if (!root) throw new Error('index.html has no element with id root');
// Libraries below Mantine (react-remove-scroll) look for the nonce of their style elements under this name.
Object.assign(globalThis, { __webpack_nonce__: cspNonce() });
await startI18n();
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
